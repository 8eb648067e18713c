# Short names for what is done often; `just` alone lists them.

_list:
    @just --list

# What the build server runs
ci:
    .ci/run

# All tests
test:
    cargo test

# All tests on PostgreSQL, Apache Kafka and LocalStack's S3
test-real:
    scripts/services start
    eval "$(scripts/services test-env)" && cargo test

# Break everything around the roles, under load, and verify (`just chaos --help`)
chaos *args:
    cargo test --locked --features chaos --test chaos -- {{args}}

# Format the source
fmt:
    cargo fmt

# What the compiler's critics say
lint:
    cargo clippy --locked --all-targets -- -D warnings

# The roles, built as they are shipped, under load, and what it costs; `just bench --help` tells what else it can measure
bench *args:
    cargo bench --locked --profile dist --features jemalloc --bench load -- {{args}}

# Uploads, compared with a plain client of the same S3 server; with `--tusd FILE`, with tusd as well
bench-uploads *args:
    cargo bench --locked --profile dist --features jemalloc --bench uploads -- {{args}}

# Slow, unread, leaking and cross-site clients against a running filesys of yours: `just attack http://127.0.0.1:3006 --pid PID`
attack *args:
    scripts/attack {{args}}

# A file uploaded to a running filesys, viewed, updated and deleted, and the events that come out on Kafka
events *args:
    scripts/events {{args}}

# Every role in one process, with its own PostgreSQL, S3 and broker
run:
    cargo run --release -- up

# Every source file and what it is for
map:
    @git ls-files 'src/*.rs' | while read -r file; do printf '%-40s %s\n' "$file" "$(head -n 1 "$file" | cut -c 5-)"; done

# How easy the source is to read: lengths, comments, names without documentation
measure *args:
    scripts/measure {{args}}

# Everything in containers: Kafka, PostgreSQL, S3, migrate, serve, two workers; prints where the page is
up:
    docker compose up -d --build --wait
    @docker inspect "$(docker compose ps --quiet serve)" --format \
        'filesys: http://{{{{ with index .HostConfig.PortBindings "3006/tcp" 0 }}{{{{ .HostIp }}:{{{{ .HostPort }}{{{{ end }}/'

# Build the image, run compose.yml with it, kill each container, look whether anything is lost; needs no registry
containers:
    scripts/containers run

# Stop the containers; the data stays
down:
    docker compose down

# Follow the logs, of all or of the named services
logs *services:
    docker compose logs -f {{services}}

# What runs, and how it is
ps:
    docker compose ps --all

# Build the image again and replace the containers of one, several or all services
rebuild *services:
    docker compose up -d --build {{services}}

# N worker containers
scale n:
    docker compose up -d --no-deps --no-recreate --scale worker={{n}} worker

# Stop the containers and forget their data
clean:
    docker compose --profile '*' down --volumes --remove-orphans

# PostgreSQL, Kafka and S3 on this machine, without containers
services-start:
    scripts/services start

# Stop them and forget their data
services-stop:
    scripts/services stop --wipe

# A local Apache Kafka
kafka-start:
    scripts/kafka start

# Stop it and forget its data
kafka-stop:
    scripts/kafka stop --wipe

# Write the parts of the documents that the code knows
docs-update:
    UPDATE_DOCS=1 cargo test --test it docs
