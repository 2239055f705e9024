# In another image, with AWS's runtime client. The configuration must lie in /var/task, wherever the code lies.
#   unzip keystart-layer-0.1.0-x86_64.zip -d layer
#   docker build --platform linux/amd64 -f container/slim-python.Dockerfile .
FROM python:3.13-slim
RUN pip install --no-cache-dir awslambdaric
COPY layer/ /opt/
ENV PYTHONPATH=/opt/python
WORKDIR /var/task
COPY python/app.py python/keystart.json ./
ENTRYPOINT ["python", "-m", "awslambdaric"]
CMD ["app.handler"]
