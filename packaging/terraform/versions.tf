terraform {
  required_version = ">= 1.5"
  required_providers {
    # 5.0 has every argument that stands in main.tf.
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}
