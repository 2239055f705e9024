# In AWS's base image. The layer, unpacked, is a folder like any other:
#   unzip keystart-layer-0.1.0-x86_64.zip -d layer
#   docker build --platform linux/amd64 -f container/aws-python.Dockerfile .
FROM public.ecr.aws/lambda/python:3.13
COPY layer/ /opt/
COPY python/app.py python/keystart.json ${LAMBDA_TASK_ROOT}/
CMD ["app.handler"]
