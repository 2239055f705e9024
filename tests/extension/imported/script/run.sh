#!/bin/sh
aws secretsmanager get-secret-value --secret-id prod/db --query SecretString --output text
aws ssm get-parameter --with-decryption --name "/prod/flag"
aws secretsmanager get-secret-value --query SecretString --secret-id "$SECRET"
