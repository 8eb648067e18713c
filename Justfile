# Short names for what is done often; `just` alone lists them.

_list:
    @just --list

# What the build server runs
ci:
    .ci/run

# All tests
test:
    cargo test

# Format the source
fmt:
    cargo fmt

# What the compiler's critics say
lint:
    cargo clippy --locked --all-targets -- -D warnings

# Every role in one process, with its own PostgreSQL, S3 and broker
run:
    cargo run --release -- up

# Every source file and what it is for
map:
    @git ls-files 'src/*.rs' | while read -r file; do printf '%-40s %s\n' "$file" "$(head -n 1 "$file" | cut -c 5-)"; done

# A local Apache Kafka
kafka-start:
    scripts/kafka start

# Stop it and forget its data
kafka-stop:
    scripts/kafka stop --wipe

# Write the parts of the documents that the code knows
docs-update:
    UPDATE_DOCS=1 cargo test --test it docs
