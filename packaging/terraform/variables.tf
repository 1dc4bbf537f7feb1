# The parameters of ../cloudformation/drydock.yaml, where the reason of each stands.

variable "clusters" {
  description = "ARNs of the ECS clusters, in this account and Region, whose hosts are updated."
  type        = list(string)
  validation {
    condition     = length(var.clusters) > 0 && alltrue([for c in var.clusters : can(regex("^arn:[a-z0-9-]+:ecs:[a-z0-9-]+:[0-9]{12}:cluster/[A-Za-z0-9_-]{1,255}$", c))])
    error_message = "At least one ARN such as arn:aws:ecs:eu-north-1:111122223333:cluster/web."
  }
}

variable "host_roles" {
  description = "Names of the hosts' instance roles; none to attach the host policy by hand."
  type        = set(string)
  default     = []
}

variable "operator_roles" {
  description = "Names of the roles of people and programs that run drydock's verbs; none to attach the operator policy by hand."
  type        = set(string)
  default     = []
}

variable "image" {
  description = "The agent's image, best by digest, for the block of user data in the outputs."
  type        = string
  default     = "IMAGE"
}

variable "table_name" {
  description = "Name of the DynamoDB table. One table serves many clusters."
  type        = string
  default     = "drydock"
  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]{3,255}$", var.table_name))
    error_message = "3 to 255 letters, digits, underscores, dots and hyphens."
  }
}

variable "make_table" {
  description = "Make the table; false where another module, or drydock init, has made it."
  type        = bool
  default     = true
}

variable "evidence" {
  description = "Let hosts ask EC2 whether an instance that is late is gone for good."
  type        = bool
  default     = true
}

variable "stop_standalone_tasks" {
  description = "Let hosts stop tasks that no service looks after (drain.standalone_tasks = \"stop\")."
  type        = bool
  default     = false
}

variable "kms_key_arn" {
  description = "ARN of a KMS key of yours for the table; empty for the key that DynamoDB owns."
  type        = string
  default     = ""
}

variable "log_group_name" {
  description = "Name of a CloudWatch Logs group to make, for a forwarder of the hosts' journals; empty for none."
  type        = string
  default     = ""
}

variable "log_retention_days" {
  description = "Days after which log lines go."
  type        = number
  default     = 90
}
