# syntax=docker/dockerfile:1
# The filesys executable in an image of its own: every role, by subcommand. compose.yml runs it.

FROM rust:1.95-bookworm AS build
# OpenSSL for TLS and SCRAM to Kafka. This image has both packages already: then nothing happens.
RUN apt-get update && apt-get install --yes --no-install-recommends libssl-dev pkg-config && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# Caches are no part of the image, so the executable is copied out of its cache.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --profile dist --features kafka-tls,jemalloc && \
    install -D --strip target/dist/filesys /out/filesys

# The same Debian as above: the executable uses its libc, libgcc and zlib, which are here already, and its OpenSSL. It
# brings Mozilla's certificate authorities itself.
FROM debian:bookworm-slim
RUN apt-get update && apt-get install --yes --no-install-recommends libssl3 && rm -rf /var/lib/apt/lists/*
LABEL org.opencontainers.image.title="filesys" \
      org.opencontainers.image.description="Asynchronous file creation: ask over HTTP, a worker makes the file, S3 keeps it" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /out/filesys /usr/local/bin/
# A number, so that orchestrators can see that it isn't root. It owns nothing and writes nothing.
USER 10001:10001
# The socket has no file: a worker tells its health through it on a read-only root, too.
ENV HOST=0.0.0.0 PORT=3006 WORKER_HEALTH_SOCKET=filesys-worker
EXPOSE 3006
# What SIGTERM asks for takes up to SHUTDOWN_TIMEOUT (20 s): give the container more than that.
STOPSIGNAL SIGTERM
# For serve, the default. For worker it is `filesys healthcheck --worker`; migrate ends by itself: switch it off there.
HEALTHCHECK --interval=10s --timeout=6s --start-period=10s --retries=3 CMD ["filesys", "healthcheck"]
ENTRYPOINT ["filesys"]
CMD ["serve"]
