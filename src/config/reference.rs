//! Table of all settings, from which docs/CONFIG.md is generated.
//!
//! A new setting needs a line in its reader and a line here. Everything that the reader knows (aliases, default, valid
//! values, whether it is a secret, which roles read it) is taken from the reader: each role reads a few made-up
//! environments.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::variable::Variable;
use super::{Env, Role};

/// Settings by block of docs/CONFIG.md: names, and what the name alone doesn't tell.
const SETTINGS: [(&str, &[(&str, &str)]); 10] = [
    (
        "http",
        &[
            ("HOST", "where to listen; `0.0.0.0` is everywhere. There is no authentication"),
            ("PORT", "0 takes any free port, which the log then names"),
            (
                "BASE_URL",
                "the address under which people and programs reach the service, sub-path included; needed behind a proxy. Without it all links are relative to the host that was asked",
            ),
            (
                "ALLOWED_HOSTS",
                "further names that requests may have in `Host`, without ports; `*.name` is everything below a name, `*` everything",
            ),
            (
                "TRUSTED_PROXIES",
                "whose `Forwarded`, `X-Forwarded-For`, `X-Forwarded-Host` and `X-Forwarded-Proto` are believed, such as `127.0.0.1,10.0.0.0/8`",
            ),
            (
                "SHUTDOWN_TIMEOUT",
                "for requests and records under way to end after the first signal; the rest is cut off or handed back",
            ),
        ],
    ),
    (
        "postgresql",
        &[
            ("DATABASE_URL", "`postgresql://…` or `host=… dbname=…`, as libpq takes them (below)"),
            (
                "DATABASE_HOST",
                "required with any other part; a name, an address, the directory of a Unix socket, or a list of them",
            ),
            ("DATABASE_PORT", ""),
            ("DATABASE_USER", "required with any other part"),
            ("DATABASE_PASSWORD", "as it is, without escapes"),
            ("DATABASE_NAME", "required with any other part"),
            ("DATABASE_SSLMODE", "as `sslmode` in the URL"),
            ("DATABASE_SSLROOTCERT", "as `sslrootcert` in the URL; without it Mozilla's authorities"),
            ("DATABASE_MAX_CONNECTIONS", "of the pool; listening takes one more"),
        ],
    ),
    (
        "kafka",
        &[
            (
                "KAFKA_BROKERS",
                "without a scheme, each with its port; an IPv6 address stands in brackets: `[::1]:9092`. Empty items don't count",
            ),
            ("KAFKA_CLIENT_ID", "how the cluster sees us; members of a worker add `-1`, `-2`, …"),
            (
                "KAFKA_GROUP_ID",
                "an error with `up`, which joins both groups. serve reads dead letters in a group of its own, named after this one: `-dead-letters` instead of `-group`",
            ),
            (
                "KAFKA_WORKER_GROUP_ID",
                "the `KAFKA_GROUP_ID` of the workers, whose progress tells which requests Kafka has lost",
            ),
            (
                "KAFKA_PREFIX",
                "at most 100 of `a-z A-Z 0-9 . _ -`; stands before every topic's and group's name (`KAFKA_GROUP_ID`'s included), so that several installations share a cluster",
            ),
            ("KAFKA_PARTITIONS", "of topics that are made; existing ones stay as they are"),
            (
                "KAFKA_REPLICATION_FACTOR",
                "of topics that are made; -1 leaves it to the cluster's `default.replication.factor`. While this isn't set, so does a cluster that refuses 3",
            ),
            (
                "FILE_EVENTS_COMPAT_TOPIC",
                "topic on which serve also tells of stored, deleted and downloaded files in the terms of the third source system; made like the others, with the same prefix. Without it there is none",
            ),
            (
                "KAFKA_SESSION_TIMEOUT",
                "from 1s to 30m; a member that is silent for so long loses its partitions. The cluster has limits of its own (`group.min.session.timeout.ms`, 6 s)",
            ),
        ],
    ),
    (
        "kafka-security",
        &[
            ("KAFKA_TLS", "`true` or `false`; without it `true` when one of the next three is set"),
            (
                "KAFKA_TLS_CA",
                "PEM file of the certificate authorities that brokers' certificates may come from; no others are believed then, and Mozilla's without it. A certificate must be for the host in the broker's address",
            ),
            (
                "KAFKA_TLS_CERT",
                "PEM file: a certificate for the brokers to know us by, followed by those that link it to its authority; with the next one",
            ),
            ("KAFKA_TLS_KEY", "PEM file: its private key, without a passphrase"),
            (
                "KAFKA_SASL_MECHANISM",
                "`PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`; required with the next two",
            ),
            ("KAFKA_SASL_USERNAME", "required with a mechanism"),
            (
                "KAFKA_SASL_PASSWORD",
                "required with a mechanism. `PLAIN` without TLS sends it in the clear, with a warning at the start",
            ),
        ],
    ),
    (
        "s3",
        &[
            (
                "S3_ENDPOINT",
                "URL with http or https, of scheme, host and port alone: a path, a query, a user are errors; buckets are then named in the path. Without it, Amazon's of the region. With `up` it must be set for S3 to count as named, Amazon's own too",
            ),
            (
                "S3_PUBLIC_ENDPOINT",
                "URL like `S3_ENDPOINT`: where clients of ours reach the store. Presigned URLs are made for it; without it, for `S3_ENDPOINT`. A proxy on the way must leave the `Host` header as it is, which is signed",
            ),
            ("S3_REGION", ""),
            ("S3_BUCKET", "made if missing. Also the bucket of the S3 server that `up` runs"),
            ("AWS_ACCESS_KEY_ID", "a lasting one: session tokens are not read"),
            ("AWS_SECRET_ACCESS_KEY", ""),
            (
                "S3_CA",
                "for an endpoint with https: PEM file of the certificate authorities that its certificate may come from; no others are believed then, and Mozilla's without it",
            ),
            (
                "S3_PROXY",
                "HTTP proxy for every request to the store, or `none`. Without it `HTTPS_PROXY` is used for endpoints with https on other machines, and no proxy for any other",
            ),
            (
                "HTTPS_PROXY",
                "proxy that sees the host's name of an encrypted connection and no more. `HTTP_PROXY` is not read: it would be given signed URLs",
            ),
            (
                "NO_PROXY",
                "hosts that are not asked through `HTTPS_PROXY`: names, `.domain`, addresses, networks, `*`",
            ),
        ],
    ),
    (
        "work",
        &[
            ("WORKER_REPLICAS", "members of the worker group in this process"),
            ("WORKER_CONCURRENCY", "files made at once for each member; the members of a process share them"),
            (
                "WORKER_MAX_ATTEMPTS",
                "tries of a file that fails by its own fault; then it fails for good. Outages are waited for and don't count",
            ),
            (
                "WORKER_HEALTH_SOCKET",
                "name of an abstract Unix socket (a name without a file, one for each network namespace) on which `filesys healthcheck --worker` asks; the image sets `filesys-worker`. Without it the worker answers nobody",
            ),
            (
                "PROCESSING_DELAY_MS",
                "by which each file takes longer, for demonstrations; `60000` is a minute",
            ),
            (
                "FILE_DEADLINE",
                "from the creation of a file to its failing when it is still unfinished. Files keep the deadline that they were accepted with",
            ),
        ],
    ),
    (
        "uploads",
        &[
            ("UPLOAD_MAX_SIZE", "of one file"),
            (
                "UPLOAD_ALLOWED_TYPES",
                "media types that are accepted; without it all. The first bytes of a file decide which type it is, not what the client says",
            ),
            (
                "UPLOAD_DENIED_TYPES",
                "media types that are refused, also when only the client says that the file is one; `executables` stands for programs, installers and scripts",
            ),
            (
                "UPLOAD_EXPIRY",
                "from the last bytes of an upload to its failing when others are still missing; nothing is left of it in the store then",
            ),
        ],
    ),
    (
        "retention",
        &[
            (
                "DEAD_LETTER_RETENTION",
                "of dead letters that were replayed or discarded, counted from then; open ones stay",
            ),
            (
                "HISTORY_RETENTION",
                "of the history (`GET /files/{id}/timeline`) of files that are finished, counted from their last change",
            ),
            (
                "DELETED_RETENTION",
                "of the rows of deleted files, counted from the deletion; after that their ids are unknown (404)",
            ),
            (
                "TRASH_RETENTION",
                "of files in the trash, counted from the deletion. Not used yet: files are deleted for good",
            ),
        ],
    ),
    (
        "embedded",
        &[
            (
                "PG_BIN",
                "directory of PostgreSQL's server programs; without it `PATH`, `pg_config --bindir` and `/usr/lib/postgresql/*/bin` are searched",
            ),
            ("PATH", "directories of programs"),
        ],
    ),
    (
        "logs",
        &[
            (
                "RUST_LOG",
                "filter of [env_logger](https://docs.rs/env_logger): levels by module. `warn,filesys=info,filesys::http=debug` adds a line for each request, `filesys::actions=debug` one for each step of a file. At `info` a file that turns out well is one line, its worker's",
            ),
            (
                "LOG_FORMAT",
                "`json`: one object a line, with `timestamp`, `level`, `target`, `message` and the line's own keys",
            ),
        ],
    ),
];

/// Environments in which each role reads every variable that it can read.
const PROBES: [&[(&str, &str)]; 4] = [
    &[],
    &[("DATABASE_URL", "postgresql://h/d"), ("KAFKA_BROKERS", "h:1"), ("S3_ENDPOINT", "http://h")],
    &[("DATABASE_HOST", "h")],
    &[("KAFKA_BROKERS", "h:1"), ("KAFKA_TLS", "true"), ("KAFKA_SASL_MECHANISM", "PLAIN")],
];

const DOCUMENT: &str = include_str!("../../docs/CONFIG.md");

/// Setting, as its readers and the table describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    pub group: &'static str,
    pub name: &'static str,
    meaning: &'static str,
    /// Roles that read it, and the default of each.
    defaults: BTreeMap<Role, Option<String>>,
    /// Properties that are the same for all roles.
    pub variable: Variable,
}

/// Returns all settings, in the order of the page.
pub fn settings() -> Vec<Setting> {
    let readers = readers();
    let mut settings = Vec::new();
    for (group, lines) in SETTINGS {
        for &(name, meaning) in lines {
            let mut setting =
                Setting { group, name, meaning, defaults: BTreeMap::new(), variable: Variable::default() };
            for (role, variables) in &readers {
                if let Some(variable) = variables.get(name) {
                    setting.defaults.insert(*role, variable.default.clone());
                    setting.variable.merge(variable);
                }
            }
            settings.push(setting);
        }
    }
    settings
}

/// Collects the variables that each role reads.
fn readers() -> BTreeMap<Role, BTreeMap<String, Variable>> {
    let mut readers: BTreeMap<Role, BTreeMap<String, Variable>> = BTreeMap::new();
    for role in Role::ALL {
        for probe in PROBES {
            let mut env = Env::of(probe.iter().copied());
            role.check(&mut env);
            for (name, variable) in env.variables() {
                readers.entry(role).or_default().entry(name.clone()).or_default().merge(variable);
            }
        }
    }
    readers
}

impl Setting {
    /// Tells whether the role reads the setting.
    pub fn is_read_by(&self, role: Role) -> bool {
        self.defaults.contains_key(&role)
    }

    /// Returns the default; where roles have different ones, all of them, named by `label`.
    pub fn default_of(
        &self,
        role: Option<Role>,
        label: impl Fn(&str, Option<Role>) -> String,
    ) -> Option<String> {
        if let Some(role) = role {
            return self.defaults.get(&role)?.as_deref().map(|value| label(value, None));
        }
        let mut roles = self.defaults.iter();
        let (_, first) = roles.next()?;
        if roles.all(|(_, other)| other == first) {
            return first.as_deref().map(|value| label(value, None));
        }
        let each =
            self.defaults.iter().filter_map(|(role, value)| Some(label(value.as_deref()?, Some(*role))));
        Some(each.collect::<Vec<_>>().join(", "))
    }

    fn line(&self) -> String {
        let Variable { aliases, required, secret, syntax, .. } = &self.variable;
        let aliases: String =
            aliases.iter().fold(String::new(), |text, alias| format!("{text}, alias `{alias}`"));
        let default = self.default_of(None, |value, role| match role {
            None => format!("`{value}`"),
            Some(role) => format!("`{value}` ({})", initial(role)),
        });
        let default = if *required { "required".to_owned() } else { default.unwrap_or_default() };
        let roles: Vec<&str> = self.defaults.keys().map(|role| initial(*role)).collect();
        let roles = if roles.len() == Role::ALL.len() { "all".to_owned() } else { roles.join(" ") };
        let secret = if *secret { "Secret" } else { "" };
        let meaning = [self.meaning, secret].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>();
        let cells = [default, syntax.clone().unwrap_or_default(), roles, meaning.join(". ")];
        let cells = cells.map(|cell| if cell.is_empty() { " |".to_owned() } else { format!(" {cell} |") });
        format!("| `{}`{aliases} |{}\n", self.name, cells.concat())
    }
}

fn initial(role: Role) -> &'static str {
    &role.name()[..1]
}

/// Generates docs/CONFIG.md: its present text, with the tables replaced.
pub fn document() -> String {
    let mut tables: BTreeMap<&str, String> = BTreeMap::new();
    for setting in settings() {
        let table = tables.entry(setting.group).or_insert_with(|| {
            "| variable | default | value | roles | |\n|---|---|---|---|---|\n".to_owned()
        });
        table.push_str(&setting.line());
    }
    let mut text = String::with_capacity(DOCUMENT.len());
    let mut rest = DOCUMENT;
    for (group, _) in SETTINGS {
        let open = format!("<!-- generated: {group} -->\n");
        let end = "<!-- end -->\n";
        let Some((before, block)) = rest.split_once(&open) else { continue };
        let after = block.split_once(end).map_or("", |(_, after)| after);
        // Writing to a String can't fail.
        let _ = write!(text, "{before}{open}{}{end}", tables[group]);
        rest = after;
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_table_has_every_variable_that_is_read_and_no_other() {
        let readers = readers();
        let read: BTreeSet<&str> = readers.values().flat_map(BTreeMap::keys).map(String::as_str).collect();
        let lines = SETTINGS.iter().flat_map(|(_, lines)| lines.iter());
        let told: Vec<&str> = lines.map(|(name, _)| *name).collect();
        assert_eq!(told.iter().copied().collect::<BTreeSet<_>>(), read);
        assert_eq!(told.len(), read.len(), "one line each");
    }

    #[test]
    fn roles_that_share_a_variable_agree_on_what_it_is() {
        for (role, variables) in readers() {
            for setting in settings().into_iter().filter(|setting| setting.is_read_by(role)) {
                let variable = &variables[setting.name];
                assert_eq!(variable.aliases, setting.variable.aliases, "{}", setting.name);
                assert_eq!(variable.secret, setting.variable.secret, "{}", setting.name);
                let agrees = variable.syntax.is_none() || variable.syntax == setting.variable.syntax;
                assert!(agrees, "{}: {variable:?}", setting.name);
            }
        }
    }

    #[test]
    fn each_block_is_in_the_document_once() {
        for (group, _) in SETTINGS {
            assert_eq!(DOCUMENT.matches(&format!("<!-- generated: {group} -->\n")).count(), 1, "{group}");
        }
        assert_eq!(DOCUMENT.matches("<!-- end -->\n").count(), SETTINGS.len());
    }
}
