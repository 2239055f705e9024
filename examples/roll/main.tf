# terraform apply -var 'secrets=prod/*'
terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 6.0" }
  }
}

variable "secrets" {
  description = "The names of the secrets that the functions use, such as prod/*"
  type        = string
}

variable "parameters" {
  description = "The names of their parameters without the first slash, such as prod/*; empty if they use none"
  type        = string
  default     = ""
}

resource "aws_cloudformation_stack" "roll" {
  name          = "keystart-roll"
  template_body = file("${path.module}/template.yaml")
  capabilities  = ["CAPABILITY_IAM"]
  parameters = {
    Secrets    = var.secrets
    Parameters = var.parameters
  }
}
