# An environment by Terraform: eval "$(aerodrome env)", then terraform init and terraform apply.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 5.0" }
  }
}

variable "aerodrome" {
  description = "Where Aerodrome answers."
  default     = "http://127.0.0.1:4560"
}

variable "name" {
  default = "by-terraform"
}

variable "retries" {
  description = "Airflow's core.default_task_retries."
  default     = "1"
}

provider "aws" {
  # The MWAA client puts "api." before the host, and api.127.0.0.1 is no name. A proxy is asked without looking for it.
  http_proxy        = var.aerodrome
  https_proxy       = ""
  s3_use_path_style = true
}

resource "aws_s3_bucket" "source" {
  bucket        = "${var.name}-source"
  force_destroy = true
}

resource "aws_s3_bucket_versioning" "source" {
  bucket = aws_s3_bucket.source.id
  versioning_configuration { status = "Enabled" }
}

resource "aws_s3_bucket_public_access_block" "source" {
  bucket                  = aws_s3_bucket.source.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_object" "dag" {
  bucket  = aws_s3_bucket.source.id
  key     = "dags/hello.py"
  content = <<-EOT
    from datetime import datetime

    from airflow import DAG

    with DAG("hello", start_date=datetime(2024, 1, 1), schedule=None):
        pass
  EOT
}

resource "aws_iam_role" "execution" {
  name = "${var.name}-execution"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = ["airflow.amazonaws.com", "airflow-env.amazonaws.com"] }
    }]
  })
}

resource "aws_iam_role_policy" "execution" {
  name = "read-the-bucket"
  role = aws_iam_role.execution.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["s3:GetObject*", "s3:GetBucket*", "s3:List*"]
      Resource = [aws_s3_bucket.source.arn, "${aws_s3_bucket.source.arn}/*"]
    }]
  })
}

resource "aws_mwaa_environment" "this" {
  name                          = var.name
  dag_s3_path                   = "dags/"
  source_bucket_arn             = aws_s3_bucket.source.arn
  execution_role_arn            = aws_iam_role.execution.arn
  airflow_configuration_options = { "core.default_task_retries" = var.retries }
  webserver_access_mode         = "PUBLIC_ONLY"
  tags                          = { team = "data" }

  network_configuration {
    subnet_ids         = ["subnet-11111111", "subnet-22222222"]
    security_group_ids = ["sg-11111111"]
  }

  depends_on = [
    aws_iam_role_policy.execution,
    aws_s3_bucket_versioning.source,
    aws_s3_bucket_public_access_block.source,
    aws_s3_object.dag,
  ]
}

output "webserver_url" {
  value = aws_mwaa_environment.this.webserver_url
}
