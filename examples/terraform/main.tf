# terraform apply -var keystart_layer=arn:aws:lambda:REGION:ACCOUNT:layer:keystart-x86_64:VERSION
terraform {
  required_version = ">= 1.5"
  required_providers {
    aws     = { source = "hashicorp/aws", version = ">= 6.0" }
    archive = { source = "hashicorp/archive", version = ">= 2.4" }
  }
}

variable "keystart_layer" {
  description = "ARN of the version of Keystart's layer"
  type        = string
}

data "aws_partition" "current" {}
data "aws_region" "current" {}
data "aws_caller_identity" "current" {}

data "archive_file" "tokens" {
  type        = "zip"
  source_file = "${path.module}/../ruby/app.rb"
  output_path = "${path.module}/tokens.zip"
}

resource "aws_lambda_function" "tokens" {
  function_name    = "tokens"
  role             = aws_iam_role.tokens.arn
  filename         = data.archive_file.tokens.output_path
  source_code_hash = data.archive_file.tokens.output_base64sha256
  handler          = "app.handler"
  runtime          = "ruby3.4"
  architectures    = ["x86_64"] # the layer's
  memory_size      = 128
  timeout          = 10
  layers           = [var.keystart_layer]

  environment {
    variables = {
      KEYSTART_SECRETS = "token/key=prod/token-key,token/settings=ssm:/prod/token-settings"
    }
  }
}

resource "aws_iam_role" "tokens" {
  name               = "tokens"
  assume_role_policy = data.aws_iam_policy_document.assumed_by_lambda.json
}

data "aws_iam_policy_document" "assumed_by_lambda" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role_policy_attachment" "logs" {
  role       = aws_iam_role.tokens.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
}

resource "aws_iam_role_policy" "secrets" {
  name   = "secrets"
  role   = aws_iam_role.tokens.id
  policy = data.aws_iam_policy_document.secrets.json
}

locals {
  here = "${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}"
}

data "aws_iam_policy_document" "secrets" {
  statement {
    actions = ["secretsmanager:GetSecretValue"]
    # The name and the six characters that Secrets Manager puts behind it.
    resources = ["arn:${data.aws_partition.current.partition}:secretsmanager:${local.here}:secret:prod/token-key-??????"]
  }
  statement {
    actions   = ["ssm:GetParameters"]
    resources = ["arn:${data.aws_partition.current.partition}:ssm:${local.here}:parameter/prod/token-settings"]
  }
}
