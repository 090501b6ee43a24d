# The image of the MLflow server, of its migrations and of what sets up its users and buckets:
#   docker build -f deploy/docker/mlflow.Dockerfile -t tuner-mlflow:0.1.0 .
ARG BASE_IMAGE=python:3.11-slim-bookworm

# hadolint ignore=DL3006
FROM ${BASE_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python3 -m venv /opt/mlflow
COPY requirements.lock deploy/docker/mlflow-requirements.txt ./
RUN /opt/mlflow/bin/pip install -c requirements.lock -r mlflow-requirements.txt \
    && /opt/mlflow/bin/pip check

# hadolint ignore=DL3006
FROM ${BASE_IMAGE}
RUN useradd --uid 10001 --user-group --create-home --home-dir /var/lib/mlflow mlflow
COPY --from=build /opt/mlflow /opt/mlflow
COPY deploy/docker/with-secrets deploy/docker/mlflow-server deploy/docker/mlflow-migrate \
     deploy/docker/mlflow-user deploy/docker/make-bucket /usr/local/bin/
ENV PATH=/opt/mlflow/bin:$PATH HOME=/var/lib/mlflow PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
USER 10001:10001
WORKDIR /var/lib/mlflow
VOLUME ["/var/lib/mlflow", "/tmp"]
EXPOSE 5000
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["python3", "-c", \
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:5000/health', timeout=5)"]
ENTRYPOINT ["with-secrets"]
CMD ["mlflow-server"]
