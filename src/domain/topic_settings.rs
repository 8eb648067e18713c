//! Effects of a topic's settings on filesys, and the command that corrects each.

use std::collections::BTreeMap;

use serde::Serialize;

use super::messages::topics;
use super::shell::quoted;

/// A topic as its cluster has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicSettings {
    pub partitions: i32,
    /// Copies of each partition; `None` where the cluster doesn't say.
    pub replicas: Option<i32>,
    /// By Kafka's names: the values in effect, wherever they are set. Empty where they can't be read.
    pub configs: BTreeMap<String, String>,
}

/// Severity of a setting that gets in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Works, and may surprise.
    Warning,
    /// Files are lost sight of, or can't be made.
    Error,
}

/// Setting that gets in the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// Topic, by the cluster's name for it.
    pub topic: String,
    /// Kafka's name of it, or `partitions` or `replicas`.
    pub setting: &'static str,
    pub value: String,
    /// Effect on filesys.
    pub effect: &'static str,
    /// Command that corrects it.
    pub command: String,
}

const HOUR_MS: i64 = 60 * 60 * 1000;
/// Default of Kafka, and the room that a dead letter of the largest record needs.
const RECORD_BYTES: i64 = 1 << 20;
/// Size that no result and no event exceeds.
const RESULT_BYTES: i64 = 16 << 10;
/// A request with the longest title and description, every character escaped.
const REQUEST_BYTES: i64 = 450_000;
/// Largest batch that a consumer of filesys can read.
const BATCH_BYTES: i64 = 32 << 20;
const LEAST_RETENTION_BYTES: i64 = 16 << 20;

/// Evaluates the settings of the topic that filesys calls `name`, worst finding first. `prefix` and `brokers` are for the
/// commands.
pub fn evaluate(name: &str, settings: &TopicSettings, prefix: &str, brokers: &str) -> Vec<Finding> {
    let topic = format!("{prefix}{name}");
    let (brokers, entity) = (quoted(brokers), quoted(&topic));
    let rules = [
        cleanup(name, settings),
        in_sync(settings),
        retention_time(name, settings),
        retention_bytes(settings),
        message_size(name, settings),
        timestamps(settings),
        unclean_election(settings),
        single_copy(settings),
    ];
    let mut findings: Vec<Finding> = rules
        .into_iter()
        .flatten()
        .map(|Rule { severity, setting, value, effect, wanted }| Finding {
            severity,
            topic: topic.clone(),
            setting,
            value,
            effect,
            command: if setting == REPLICAS {
                format!(
                    "kafka-reassign-partitions.sh --bootstrap-server {brokers} (topic {entity}: {wanted})"
                )
            } else {
                format!(
                    "kafka-configs.sh --bootstrap-server {brokers} --alter --entity-type topics \
                     --entity-name {entity} --add-config {setting}={wanted}"
                )
            },
        })
        .collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

const REPLICAS: &str = "replicas";

struct Rule {
    severity: Severity,
    setting: &'static str,
    value: String,
    effect: &'static str,
    wanted: String,
}

fn text<'a>(settings: &'a TopicSettings, setting: &str) -> Option<&'a str> {
    settings.configs.get(setting).map(String::as_str)
}

fn number(settings: &TopicSettings, setting: &str) -> Option<i64> {
    text(settings, setting)?.parse().ok()
}

fn is_worked_through(name: &str) -> bool {
    [topics::CREATE, topics::CREATED].contains(&name)
}

fn deletes(settings: &TopicSettings) -> bool {
    text(settings, "cleanup.policy").is_none_or(|policy| policy.contains("delete"))
}

fn cleanup(name: &str, settings: &TopicSettings) -> Option<Rule> {
    let policy = text(settings, "cleanup.policy").filter(|policy| policy.contains("compact"))?;
    let (severity, effect) = match name {
        topics::CREATE => (
            Severity::Error,
            "Kafka refuses records without a key: no request reaches a worker, and no file is made",
        ),
        topics::CREATED => (
            Severity::Error,
            "of a file's results only the newest is kept, and only the newest may be read: steps of its history are lost",
        ),
        topics::DEAD_LETTERS => (
            Severity::Error,
            "a dead letter removes the one before it of the same file, and records that have no key are refused",
        ),
        _ => (Severity::Warning, "only the newest event of a file is kept: who reads late misses the others"),
    };
    let (setting, value) = ("cleanup.policy", policy.to_owned());
    Some(Rule { severity, setting, value, effect, wanted: "delete".to_owned() })
}

fn in_sync(settings: &TopicSettings) -> Option<Rule> {
    let (wanted, replicas) = (number(settings, "min.insync.replicas")?, i64::from(settings.replicas?));
    let setting = "min.insync.replicas";
    if wanted > replicas {
        // KIP-966 limits the setting to the number of copies; earlier versions refuse every record.
        let effect = "more copies must be written than there are: older versions of Kafka refuse all records, newer ones \
                      need every copy, so that one broker that is unavailable stops all publishing";
        let enough = replicas.saturating_sub(1).max(1).to_string();
        return Some(Rule {
            severity: Severity::Warning,
            setting,
            value: wanted.to_string(),
            effect,
            wanted: enough,
        });
    }
    if wanted == replicas && replicas > 1 {
        let effect =
            "as many copies must be written as there are: one broker that is away stops all publishing";
        let fewer = (replicas - 1).to_string();
        return Some(Rule {
            severity: Severity::Warning,
            setting,
            value: wanted.to_string(),
            effect,
            wanted: fewer,
        });
    }
    let is_alone = wanted < 2 && replicas >= 3;
    is_alone.then(|| Rule {
        severity: Severity::Warning,
        setting,
        value: wanted.to_string(),
        effect: "one copy is enough to count as published: a broker that dies may take accepted records with it",
        wanted: "2".to_owned(),
    })
}

fn retention_time(name: &str, settings: &TopicSettings) -> Option<Rule> {
    let ms = number(settings, "retention.ms").filter(|ms| (0..HOUR_MS).contains(ms) && deletes(settings))?;
    let severity = if is_worked_through(name) { Severity::Error } else { Severity::Warning };
    let effect = match name {
        topics::CREATE => {
            "requests are removed within the hour, handled or not: files are requested again, and fail in the end"
        }
        topics::CREATED => {
            "results are removed within the hour, recorded or not: their files are made again, and fail in the end"
        }
        topics::DEAD_LETTERS => "dead letters are removed from the topic within the hour, stored or not",
        _ => "events are removed within the hour, read or not",
    };
    Some(Rule {
        severity,
        setting: "retention.ms",
        value: ms.to_string(),
        effect,
        wanted: "604800000".to_owned(),
    })
}

fn retention_bytes(settings: &TopicSettings) -> Option<Rule> {
    let bytes = number(settings, "retention.bytes")
        .filter(|bytes| (0..LEAST_RETENTION_BYTES).contains(bytes) && deletes(settings))?;
    let effect = "a backlog of more than these bytes in a partition is removed before it is handled";
    let (setting, value) = ("retention.bytes", bytes.to_string());
    Some(Rule { severity: Severity::Warning, setting, value, effect, wanted: "-1".to_owned() })
}

fn message_size(name: &str, settings: &TopicSettings) -> Option<Rule> {
    let bytes = number(settings, "max.message.bytes")?;
    let (severity, effect) = match (bytes, name) {
        (..REQUEST_BYTES, topics::CREATE) => (
            Severity::Error,
            "requests with a long description can't be published, and their files are never made",
        ),
        (..RESULT_BYTES, topics::CREATED) => {
            (Severity::Error, "results can't be published, and files are never completed")
        }
        (..RESULT_BYTES, topics::EVENTS) => {
            (Severity::Warning, "events of files with a long title can't be published")
        }
        (..RECORD_BYTES, topics::DEAD_LETTERS) => {
            (Severity::Warning, "dead letters of larger records are stored without their value")
        }
        (..RECORD_BYTES, topics::CREATE) => {
            (Severity::Warning, "other programs can't publish larger requests")
        }
        (..=BATCH_BYTES, _) => return None,
        _ => (
            Severity::Warning,
            "larger batches than filesys can read (33554432 bytes) may be published and become dead letters without value",
        ),
    };
    let (setting, value) = ("max.message.bytes", bytes.to_string());
    Some(Rule { severity, setting, value, effect, wanted: "1048588".to_owned() })
}

fn timestamps(settings: &TopicSettings) -> Option<Rule> {
    const LIMITS: [(&str, &str); 3] = [
        ("message.timestamp.before.max.ms", "9223372036854775807"),
        ("message.timestamp.after.max.ms", "3600000"),
        ("message.timestamp.difference.max.ms", "9223372036854775807"),
    ];
    if text(settings, "message.timestamp.type") == Some("LogAppendTime") {
        return None;
    }
    let short = LIMITS.into_iter().find_map(|(setting, usual)| {
        let ms = number(settings, setting).filter(|ms| *ms < 60_000)?;
        Some((setting, ms, usual))
    });
    let (setting, ms, usual) = short?;
    let effect =
        "records are refused when clocks differ by more than that; they are published again without a time";
    Some(Rule {
        severity: Severity::Warning,
        setting,
        value: ms.to_string(),
        effect,
        wanted: usual.to_owned(),
    })
}

fn unclean_election(settings: &TopicSettings) -> Option<Rule> {
    let setting = "unclean.leader.election.enable";
    let value = text(settings, setting).filter(|value| *value == "true")?.to_owned();
    let effect = "a broker that lags behind may become leader: accepted records are lost, and their files asked for again";
    Some(Rule { severity: Severity::Warning, setting, value, effect, wanted: "false".to_owned() })
}

fn single_copy(settings: &TopicSettings) -> Option<Rule> {
    // One copy is all that one broker can keep; whether there are more, the in-sync setting tells.
    let replicas = settings.replicas.filter(|replicas| *replicas < 2)?;
    number(settings, "min.insync.replicas").filter(|wanted| *wanted > 1)?;
    let effect = "a broker that is away takes its partitions with it";
    let (setting, value) = (REPLICAS, replicas.to_string());
    Some(Rule { severity: Severity::Warning, setting, value, effect, wanted: "3 replicas".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(replicas: i32, configs: &[(&str, &str)]) -> TopicSettings {
        let configs = configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        TopicSettings { partitions: 3, replicas: Some(replicas), configs: configs.collect() }
    }

    fn found(name: &str, settings: &TopicSettings) -> Vec<(Severity, &'static str)> {
        let findings = evaluate(name, settings, "", "k:9092");
        findings.iter().map(|finding| (finding.severity, finding.setting)).collect()
    }

    #[test]
    fn what_kafka_comes_with_is_fine() {
        let usual = settings(
            1,
            &[
                ("cleanup.policy", "delete"),
                ("compression.type", "producer"),
                ("min.insync.replicas", "1"),
                ("retention.ms", "604800000"),
                ("retention.bytes", "-1"),
                ("max.message.bytes", "1048588"),
                ("message.timestamp.type", "CreateTime"),
                ("message.timestamp.before.max.ms", "9223372036854775807"),
                ("message.timestamp.after.max.ms", "3600000"),
                ("unclean.leader.election.enable", "false"),
            ],
        );
        for name in topics::ALL {
            assert_eq!(found(name, &usual), [], "{name}");
            // Where settings may not be read, nothing is guessed.
            assert_eq!(found(name, &TopicSettings { configs: BTreeMap::new(), ..usual.clone() }), []);
        }
    }

    #[test]
    fn every_setting_that_gets_in_the_way_is_found() {
        use Severity::{Error, Warning};
        for (name, replicas, setting, value, severity) in [
            (topics::CREATE, 1, "cleanup.policy", "compact", Error),
            (topics::CREATED, 1, "cleanup.policy", "compact,delete", Error),
            (topics::DEAD_LETTERS, 1, "cleanup.policy", "compact", Error),
            (topics::EVENTS, 1, "cleanup.policy", "compact", Warning),
            (topics::CREATE, 3, "min.insync.replicas", "4", Warning),
            (topics::CREATE, 3, "min.insync.replicas", "3", Warning),
            (topics::CREATE, 3, "min.insync.replicas", "1", Warning),
            (topics::CREATE, 1, "retention.ms", "1000", Error),
            (topics::DEAD_LETTERS, 1, "retention.ms", "1000", Warning),
            (topics::CREATE, 1, "retention.bytes", "1000", Warning),
            (topics::CREATE, 1, "max.message.bytes", "1000", Error),
            (topics::CREATE, 1, "max.message.bytes", "500000", Warning),
            (topics::CREATED, 1, "max.message.bytes", "1000", Error),
            (topics::EVENTS, 1, "max.message.bytes", "1000", Warning),
            (topics::DEAD_LETTERS, 1, "max.message.bytes", "500000", Warning),
            (topics::CREATE, 1, "max.message.bytes", "100000000", Warning),
            (topics::CREATE, 1, "message.timestamp.after.max.ms", "1", Warning),
            (topics::CREATE, 1, "unclean.leader.election.enable", "true", Warning),
        ] {
            let findings = found(name, &settings(replicas, &[(setting, value)]));
            assert_eq!(findings, [(severity, setting)], "{name} {setting}={value}");
        }
        let one_of_two = found(topics::CREATE, &settings(1, &[("min.insync.replicas", "2")]));
        assert_eq!(one_of_two, [(Warning, "min.insync.replicas"), (Warning, "replicas")]);
        let small = settings(1, &[("max.message.bytes", "500000")]);
        assert_eq!(found(topics::CREATED, &small), [], "results are small");
        let for_ever = settings(1, &[("retention.ms", "-1"), ("retention.bytes", "-1")]);
        assert_eq!(found(topics::CREATE, &for_ever), []);
    }

    #[test]
    fn a_finding_says_how_to_correct_it() {
        let findings =
            evaluate(topics::CREATE, &settings(1, &[("cleanup.policy", "compact")]), "test.", "a:1,b:2");
        assert_eq!(findings[0].topic, "test.file.create");
        assert_eq!(
            findings[0].command,
            "kafka-configs.sh --bootstrap-server a:1,b:2 --alter --entity-type topics \
             --entity-name test.file.create --add-config cleanup.policy=delete"
        );
    }
}
