//! Checks of Kafka: every broker's address, TLS and login, topics and their settings.

use super::network;
use crate::actions::provision::{self, Agreement, TopicState};
use crate::actions::topic_settings;
use crate::broker::kafka::Kafka;
use crate::broker::{Broker, BrokerError};
use crate::config::KafkaConfig;
use crate::domain::Finding;
use crate::domain::topic_settings::{Finding as SettingFinding, Severity};

const SUBJECT: &str = "kafka";

pub(super) async fn check(config: &KafkaConfig, client_id: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut reached = 0;
    for broker in &config.brokers {
        let (host, port) = broker.rsplit_once(':').unwrap_or((broker, "9092"));
        let port = port.parse().unwrap_or(9092);
        match network::unreachable(&format!("kafka {broker}"), "KAFKA_BROKERS", host, port).await {
            Some(finding) => findings.push(finding),
            None => reached += 1,
        }
    }
    if reached == 0 {
        return findings;
    }
    // One of several bootstrap addresses may be down: the others tell of the cluster.
    let kafka = Kafka::new(config, client_id);
    match kafka.topics().await {
        Ok(_) => findings.push(Finding::ok(SUBJECT, format!("answers at {}", config.brokers.join(",")))),
        Err(error) => {
            findings.push(refused(&error));
            return findings;
        }
    }
    findings.extend(advertised(&kafka).await);
    match provision::topic_states(&kafka, config.partitions, config.compat_topic.as_deref()).await {
        Ok(states) => findings.extend(states.iter().map(|state| topic(config, state))),
        Err(error) => findings.push(Finding::error(SUBJECT, error.chain(), "see the broker's log")),
    }
    let settings = topic_settings::findings(&kafka, &config.prefix, &config.brokers.join(",")).await;
    match settings {
        Ok(settings) => findings.extend(settings.into_iter().map(setting)),
        Err(error) => findings.push(Finding::warning(
            "topic settings",
            error.chain(),
            "allow DescribeConfigs on the topics to this user, so that their settings can be checked",
        )),
    }
    findings
}

fn setting(found: SettingFinding) -> Finding {
    let SettingFinding { severity, topic, setting, value, effect, command } = found;
    let (subject, detail) = (format!("topic {topic}"), format!("{setting}={value}: {effect}"));
    match severity {
        Severity::Warning => Finding::warning(subject, detail, command),
        Severity::Error => Finding::error(subject, detail, command),
    }
}

/// A client is sent on to the addresses that brokers advertise, whichever it asked first.
async fn advertised(kafka: &Kafka) -> Vec<Finding> {
    let addresses = match kafka.advertised().await {
        Ok(addresses) => addresses,
        Err(error) => return vec![refused(&error)],
    };
    let mut findings = Vec::new();
    for (host, port) in addresses {
        let subject = format!("kafka {host}:{port}");
        if let Some(mut finding) = network::unreachable(&subject, "advertised.listeners", &host, port).await {
            finding.advice = Some(format!(
                "the cluster advertises this address and sends its clients there: correct advertised.listeners \
                 of that broker, make {host} known here, or start it"
            ));
            findings.push(finding);
        }
    }
    findings
}

fn refused(error: &BrokerError) -> Finding {
    let advice = match error {
        // Says what to change itself.
        BrokerError::Configuration(_) => {
            "correct the setting that is named, or its counterpart at the broker"
        }
        BrokerError::Unavailable(_) | BrokerError::PartitionUnavailable(_) => {
            "something answers there that is no Kafka, or one that is starting, or one that wants TLS or a login: \
             see KAFKA_TLS and KAFKA_SASL_MECHANISM"
        }
        BrokerError::UnknownTopic(_) | BrokerError::Rejected(_) => "see the broker's log",
    };
    Finding::error(SUBJECT, error.to_string(), advice)
}

fn topic(config: &KafkaConfig, state: &TopicState) -> Finding {
    let name = format!("{}{}", config.prefix, state.topic);
    let subject = format!("topic {name}");
    match state.state {
        Agreement::Ok => Finding::ok(subject, format!("{} partitions", state.wanted)),
        Agreement::More => Finding::ok(
            subject,
            format!("{} partitions; KAFKA_PARTITIONS says {}", state.found.unwrap_or_default(), state.wanted),
        ),
        Agreement::Missing => Finding::error(subject, "missing", "`filesys topics` makes it"),
        Agreement::Fewer => Finding::warning(
            subject,
            format!("{} of {} partitions: fewer members work", state.found.unwrap_or_default(), state.wanted),
            provision::add_partitions_command(config, &name),
        ),
    }
}
