# What ../cloudformation/drydock.yaml makes, for those who use Terraform. The reasons
# stand there; the rights stand in ../iam, once for both, so take the whole repository:
#
#   module "drydock" {
#     source     = "git::https://github.com/drydock-ecs/drydock.git//packaging/terraform?ref=v0.1.0"
#     clusters   = [aws_ecs_cluster.web.arn]
#     host_roles = [aws_iam_role.ecs_instance.name]
#   }

data "aws_caller_identity" "here" {}
data "aws_partition" "here" {}

locals {
  names = {
    PARTITION  = data.aws_partition.here.partition
    DNS_SUFFIX = data.aws_partition.here.dns_suffix
    ACCOUNT    = data.aws_caller_identity.here.account_id
    REGION     = split(":", var.clusters[0])[3] # that of the clusters: the table must be there
    TABLE      = var.table_name
    KEY_ARN    = var.kms_key_arn
    # It stands in quotes in a list: more than one closes and opens them.
    CLUSTER_ARN = join("\", \"", var.clusters)
  }
  host     = jsondecode(templatefile("${path.module}/../iam/host.json", local.names))
  operator = jsondecode(templatefile("${path.module}/../iam/operator.json", local.names))

  # Rights that nobody asked for.
  left_out = concat(
    var.evidence ? [] : ["TellATerminatedHostFromALateOne"],
    var.stop_standalone_tasks ? [] : ["StopStandaloneTasks"],
    var.kms_key_arn != "" ? [] : ["ReadTheTableThroughItsKey"],
  )
}

resource "aws_dynamodb_table" "lock" {
  count                       = var.make_table ? 1 : 0
  name                        = var.table_name
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "fleet"
  range_key                   = "item"
  deletion_protection_enabled = true

  attribute {
    name = "fleet"
    type = "S"
  }
  attribute {
    name = "item"
    type = "S"
  }
  ttl {
    attribute_name = "expires"
    enabled        = true
  }
  point_in_time_recovery {
    enabled = true
  }
  dynamic "server_side_encryption" {
    for_each = var.kms_key_arn != "" ? [var.kms_key_arn] : []
    content {
      enabled     = true
      kms_key_arn = server_side_encryption.value
    }
  }
  # A plan that would replace the table stops: the lock record would be gone.
  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_iam_policy" "host" {
  name_prefix = "drydock-host-"
  description = "What a host does that Drydock updates"
  policy = jsonencode(merge(local.host, {
    Statement = [for s in local.host.Statement : s if !contains(local.left_out, s.Sid)]
  }))
}

resource "aws_iam_policy" "operator" {
  name_prefix = "drydock-operator-"
  description = "What an operator of Drydock does"
  policy = jsonencode(merge(local.operator, {
    Statement = [for s in local.operator.Statement : s if !contains(local.left_out, s.Sid)]
  }))
}

resource "aws_iam_role_policy_attachment" "host" {
  for_each   = var.host_roles
  role       = each.value
  policy_arn = aws_iam_policy.host.arn
}

resource "aws_iam_role_policy_attachment" "operator" {
  for_each   = var.operator_roles
  role       = each.value
  policy_arn = aws_iam_policy.operator.arn
}

resource "aws_cloudwatch_log_group" "journal" {
  count             = var.log_group_name != "" ? 1 : 0
  name              = var.log_group_name
  retention_in_days = var.log_retention_days
}
