# In AWS's base image. `import` looks into the function's own folder in every image, so the reader goes there:
#   unzip keystart-layer-0.1.0-x86_64.zip -d layer
#   docker build --platform linux/amd64 -f container/aws-node.Dockerfile .
FROM public.ecr.aws/lambda/nodejs:22
COPY layer/extensions/ /opt/extensions/
COPY layer/nodejs/node_modules/ ${LAMBDA_TASK_ROOT}/node_modules/
COPY node/app.mjs ${LAMBDA_TASK_ROOT}/
ENV KEYSTART_SECRETS='{"webhook/key": "prod/webhook-key", \
 "webhook/previous-key": {"secret": "prod/webhook-key", "stage": "AWSPREVIOUS", "optional": true}, \
 "webhook/limits": {"parameter": "/prod/webhook-limits"}}'
CMD ["app.handler"]
