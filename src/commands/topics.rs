//! `filesys topics`: makes the topics that are missing and compares all of them with what this installation needs.

use super::output::Output;
use super::{CommandError, CommandResult};
use crate::actions::provision::{self, Agreement, TopicState};
use crate::actions::topic_settings;
use crate::broker::kafka::Kafka;
use crate::config::{Env, KafkaConfig};
use crate::domain::topic_settings::{Finding, Severity};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Make nothing; exit code 1 when a topic is missing, has too few partitions, or settings that keep files from being made
    #[arg(long)]
    check: bool,
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

pub(super) async fn run(args: Args, mut env: Env) -> CommandResult {
    let config = KafkaConfig::read(&mut env);
    env.finish()?;
    let kafka = Kafka::new(&config, "filesys-topics");
    let compat = config.compat_topic.as_deref();
    if !args.check {
        for topic in provision::topics(&kafka, config.partitions, compat).await? {
            log::info!(topic, partitions = config.partitions; "topic made");
        }
    }
    let mut states = provision::topic_states(&kafka, config.partitions, compat).await?;
    // As Kafka's own tools call them.
    for state in &mut states {
        state.topic.insert_str(0, &config.prefix);
    }
    args.output.print(&states, ["TOPIC", "WANTED", "FOUND", "STATE"], |one| {
        let found = one.found.map(|partitions| partitions.to_string()).unwrap_or_default();
        [one.topic.clone(), one.wanted.to_string(), found, word(one.state).to_owned()]
    })?;
    let brokers = config.brokers.join(",");
    let mut problems: Vec<String> = states.iter().filter_map(|one| problem(one, &config)).collect();
    for finding in topic_settings::findings(&kafka, &config.prefix, &brokers).await? {
        let Finding { severity, topic, setting, value, effect, command } = finding;
        match severity {
            Severity::Warning => {
                log::warn!(topic:% = topic, setting, value:% = value, effect, command:% = command; "topic setting may surprise");
            }
            Severity::Error => {
                problems.push(format!("topic {topic} has {setting}={value}: {effect}; {command}"));
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(CommandError::Failed(problems.join("\n  "))) }
}

fn word(state: Agreement) -> &'static str {
    match state {
        Agreement::Ok => "ok",
        Agreement::Missing => "missing",
        Agreement::Fewer => "fewer",
        Agreement::More => "more",
    }
}

/// Describes what is wrong and how to correct it. rskafka can't add partitions, and librdkafka changes nothing here
/// (docs/adr/0001).
fn problem(topic: &TopicState, config: &KafkaConfig) -> Option<String> {
    let TopicState { topic, wanted, found, state } = topic;
    match state {
        Agreement::Ok | Agreement::More => None,
        Agreement::Missing => Some(format!("topic {topic} is missing; `filesys topics` makes it")),
        Agreement::Fewer => Some(format!(
            "topic {topic} has {} of {wanted} partitions; Kafka's own tool adds them: {}",
            found.unwrap_or_default(),
            provision::add_partitions_command(config, topic)
        )),
    }
}
