output "user_data" {
  description = "Block for the TOML user data of the hosts. Its user-data is base64 of the agent's settings."
  value       = <<-TOML
    [settings.host-containers.drydock]
    enabled = true
    superpowered = false
    source = "${var.image}"
    user-data = "${base64encode("[lock]\ntable = \"${var.table_name}\"\n")}"
  TOML
}

output "host_policy" {
  description = "ARN of the policy for the hosts' instance roles that are not among the variables."
  value       = aws_iam_policy.host.arn
}

output "operator_policy" {
  description = "ARN of the policy for operators that are not among the variables."
  value       = aws_iam_policy.operator.arn
}

output "table" {
  description = "Name of the table, for drydock --table and $DRYDOCK_TABLE."
  value       = var.table_name
}
