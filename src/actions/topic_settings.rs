//! Evaluate the settings of the topics, for operators and for readiness.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use crate::broker::Broker;
use crate::domain::Result;
use crate::domain::messages::topics;
use crate::domain::topic_settings::{Finding, Severity, evaluate};
use crate::telemetry::Outage;

/// Settings change seldom, and probes come often.
const MAX_AGE: Duration = Duration::from_secs(30);

/// Worst first within each topic. Topics that are missing have no settings.
pub async fn findings(broker: &dyn Broker, prefix: &str, brokers: &str) -> Result<Vec<Finding>> {
    let settings = broker.topic_settings(&topics::ALL).await?;
    let of_one = |(name, settings)| evaluate(name, settings, prefix, brokers);
    Ok(settings.iter().map(|(name, settings)| (name.as_str(), settings)).flat_map(of_one).collect())
}

/// Cache of the latest findings.
pub(crate) struct TopicFindings {
    last: Mutex<Option<(Instant, Vec<Finding>)>>,
    trouble: Outage,
}

impl Default for TopicFindings {
    fn default() -> Self {
        let trouble = Outage::new("topic settings get in the way", "topic settings are fine again");
        Self { last: Mutex::default(), trouble }
    }
}

impl TopicFindings {
    /// Returns the findings, read again when they are older than `MAX_AGE`; the old ones while Kafka is unavailable.
    pub async fn findings(&self, broker: &dyn Broker) -> Vec<Finding> {
        let last = self.last().clone();
        if let Some((at, findings)) = &last
            && at.elapsed() < MAX_AGE
        {
            return findings.clone();
        }
        let findings = match findings(broker, "", "BROKERS").await {
            Ok(findings) => findings,
            Err(error) => {
                log::debug!(error:% = error.chain(); "topic settings not read");
                last.map(|(_, findings)| findings).unwrap_or_default()
            }
        };
        match findings.iter().find(|finding| finding.severity == Severity::Error) {
            Some(Finding { topic, setting, value, effect, .. }) => {
                self.trouble
                    .fails(format_args!("{topic}: {setting}={value}: {effect}; see filesys topics --check"));
            }
            None => self.trouble.works(),
        }
        *self.last() = Some((Instant::now(), findings.clone()));
        findings
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Vec<Finding>)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
