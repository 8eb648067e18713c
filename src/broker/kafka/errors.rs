//! rskafka's and librdkafka's errors as `BrokerError`: what may heal, what never will, what an operator must change.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rskafka::client::error::{Error, ProtocolError};

use crate::broker::BrokerError;

const REJECTED: [ProtocolError; 5] = [
    ProtocolError::InvalidRecord,
    ProtocolError::InvalidTimestamp,
    ProtocolError::MessageTooLarge,
    ProtocolError::RecordListTooLarge,
    ProtocolError::UnsupportedCompressionType,
];

const CONFIGURATION: [ProtocolError; 16] = [
    ProtocolError::ClusterAuthorizationFailed,
    ProtocolError::GroupAuthorizationFailed,
    ProtocolError::IllegalSaslState,
    ProtocolError::InvalidConfig,
    ProtocolError::InvalidPartitions,
    ProtocolError::InvalidReplicationFactor,
    ProtocolError::InvalidRequest,
    ProtocolError::InvalidRequiredAcks,
    ProtocolError::InvalidTopicException,
    ProtocolError::PolicyViolation,
    ProtocolError::SaslAuthenticationFailed,
    ProtocolError::SecurityDisabled,
    ProtocolError::TopicAuthorizationFailed,
    ProtocolError::UnsupportedForMessageFormat,
    ProtocolError::UnsupportedSaslMechanism,
    ProtocolError::UnsupportedVersion,
];

/// The broker's own answer, also from within rskafka's "all retries failed". `None`: no broker answered.
pub(super) fn protocol_error(error: &Error) -> Option<ProtocolError> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(Error::ServerError { protocol_error, .. }) = error.downcast_ref() {
            return Some(*protocol_error);
        }
        cause = error.source();
    }
    None
}

/// Whether a client that failed so is to be replaced: anything but a broker's plain answer.
pub(super) fn breaks_the_client(error: &Error) -> bool {
    !matches!(error, Error::ServerError { .. })
}

pub(super) fn is_unknown_topic(error: &Error) -> bool {
    let unknown = [ProtocolError::UnknownTopicOrPartition, ProtocolError::UnknownTopicId];
    protocol_error(error).is_some_and(|code| unknown.contains(&code))
}

pub(super) fn from_rskafka(topic: &str, error: &Error) -> BrokerError {
    match protocol_error(error) {
        _ if is_unknown_topic(error) => BrokerError::UnknownTopic(topic.to_owned()),
        Some(code) if REJECTED.contains(&code) => BrokerError::Rejected(format!("{topic}: {code:?}")),
        Some(code) if CONFIGURATION.contains(&code) => {
            BrokerError::Configuration(refusal(topic, code, error))
        }
        Some(code) => BrokerError::Unavailable(refusal(topic, code, error)),
        None => BrokerError::Unavailable(error.to_string()),
    }
}

fn refusal(topic: &str, code: ProtocolError, error: &Error) -> String {
    if let Error::ServerError { error_message: Some(message), .. } = error {
        return format!("{topic}: {code:?}: {message}");
    }
    format!("{topic}: {code:?}")
}

const GROUP_CONFIGURATION: [RDKafkaErrorCode; 13] = [
    RDKafkaErrorCode::Authentication,
    RDKafkaErrorCode::ClusterAuthorizationFailed,
    RDKafkaErrorCode::GroupAuthorizationFailed,
    RDKafkaErrorCode::GroupMaxSizeReached,
    RDKafkaErrorCode::IllegalSASLState,
    RDKafkaErrorCode::InconsistentGroupProtocol,
    RDKafkaErrorCode::InvalidGroupId,
    RDKafkaErrorCode::InvalidSessionTimeout,
    RDKafkaErrorCode::SaslAuthenticationFailed,
    RDKafkaErrorCode::SSL,
    RDKafkaErrorCode::TopicAuthorizationFailed,
    RDKafkaErrorCode::UnsupportedSASLMechanism,
    RDKafkaErrorCode::UnsupportedVersion,
];

/// `reason` is librdkafka's text; of an unknown topic it is `Subscribed topic not available: <topic>: <error>`.
pub(super) fn from_rdkafka(code: Option<RDKafkaErrorCode>, reason: &str) -> BrokerError {
    match code {
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            BrokerError::UnknownTopic(reason.split(": ").nth(1).unwrap_or(reason).to_owned())
        }
        Some(code) if GROUP_CONFIGURATION.contains(&code) => {
            BrokerError::Configuration(format!("{code:?}: {reason}"))
        }
        Some(code) => BrokerError::Unavailable(format!("{code:?}: {reason}")),
        None => BrokerError::Unavailable(reason.to_owned()),
    }
}

/// A commit that the group's coordinator refused: the partition moved on, or nobody could store it.
pub(super) fn from_commit(error: &KafkaError) -> BrokerError {
    from_rdkafka(error.rdkafka_error_code(), "the offsets were not committed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: ProtocolError) -> Error {
        Error::ServerError {
            protocol_error: code,
            error_message: None,
            request: rskafka::client::error::RequestContext::Topic("t".to_owned()),
            response: None,
            is_virtual: false,
        }
    }

    #[test]
    fn each_answer_says_what_to_do_about_it() {
        let kind = |code| from_rskafka("t", &answer(code));
        assert!(
            matches!(kind(ProtocolError::UnknownTopicOrPartition), BrokerError::UnknownTopic(topic) if topic == "t")
        );
        assert!(matches!(kind(ProtocolError::MessageTooLarge), BrokerError::Rejected(_)));
        assert!(matches!(kind(ProtocolError::TopicAuthorizationFailed), BrokerError::Configuration(_)));
        assert!(matches!(kind(ProtocolError::NotEnoughReplicas), BrokerError::Unavailable(_)));
        assert!(matches!(from_rskafka("t", &Error::Timeout), BrokerError::Unavailable(_)));
    }

    #[test]
    fn a_commit_that_came_too_late_is_unavailable_not_misconfigured() {
        for code in [
            RDKafkaErrorCode::RebalanceInProgress,
            RDKafkaErrorCode::IllegalGeneration,
            RDKafkaErrorCode::UnknownMemberId,
        ] {
            let error = from_commit(&KafkaError::ConsumerCommit(code));
            assert!(matches!(error, BrokerError::Unavailable(_)), "{error}");
        }
    }

    #[test]
    fn a_missing_subscribed_topic_is_named() {
        let error = from_rdkafka(
            Some(RDKafkaErrorCode::UnknownTopicOrPartition),
            "Subscribed topic not available: file.create: Broker: Unknown topic or partition",
        );
        assert!(matches!(error, BrokerError::UnknownTopic(topic) if topic == "file.create"));
    }
}
