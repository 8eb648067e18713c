//! Maps rskafka's and librdkafka's errors to `BrokerError`: transient, permanent, or for an operator to resolve.

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

/// Returns the broker's own error, also from within rskafka's "all retries failed". `None` when no broker answered.
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

/// Tells whether the client has to be replaced after this error: after any but a broker's plain answer.
pub(super) fn breaks_the_client(error: &Error) -> bool {
    !matches!(error, Error::ServerError { .. })
}

/// Tells whether the broker doesn't know the topic or the partition.
pub(super) fn is_unknown_topic(error: &Error) -> bool {
    let unknown = [ProtocolError::UnknownTopicOrPartition, ProtocolError::UnknownTopicId];
    protocol_error(error).is_some_and(|code| unknown.contains(&code))
}

/// Maps an error of rskafka.
pub(super) fn from_rskafka(topic: &str, error: &Error) -> BrokerError {
    match protocol_error(error) {
        _ if is_unknown_topic(error) => BrokerError::UnknownTopic(topic.to_owned()),
        Some(code) if REJECTED.contains(&code) => BrokerError::Rejected(format!("{topic}: {code:?}")),
        Some(code) if CONFIGURATION.contains(&code) => {
            BrokerError::Configuration(refusal(topic, code, error))
        }
        Some(code) => BrokerError::Unavailable(refusal(topic, code, error)),
        None => from_connecting(&error.to_string()),
    }
}

/// Parts of the texts in which rskafka, rustls, librdkafka and OpenSSL report a refused connection, and what to change.
/// Their error types don't tell these cases apart. The first that matches counts.
const REFUSALS: [(&str, &str); 17] = [
    ("SaslAuthenticationFailed", LOGIN),
    ("SASL authentication error", LOGIN),
    ("Unsupported SASL mechanism", MECHANISM),
    ("UnsupportedSaslMechanism", MECHANISM),
    ("not valid for name", AUTHORITY),
    ("invalid peer certificate", AUTHORITY),
    ("certificate verify failed", AUTHORITY),
    ("alert: BadCertificate", CERTIFICATE),
    ("alert: CertificateRequired", CERTIFICATE),
    ("alert: CertificateUnknown", CERTIFICATE),
    ("alert: UnknownCA", CERTIFICATE),
    ("alert bad certificate", CERTIFICATE),
    ("alert certificate required", CERTIFICATE),
    ("alert certificate unknown", CERTIFICATE),
    ("alert unknown ca", CERTIFICATE),
    ("tls handshake eof", NOT_TLS),
    ("a PLAINTEXT broker listener?", NOT_TLS),
];

const LOGIN: &str = "KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD are not what the broker expects";
const MECHANISM: &str = "KAFKA_SASL_MECHANISM is not one of the broker's";
const AUTHORITY: &str = "KAFKA_TLS_CA must name who signed the broker's certificate, which must be for the host in the broker's address";
const CERTIFICATE: &str = "KAFKA_TLS_CERT and KAFKA_TLS_KEY are not a certificate that the broker accepts";
const NOT_TLS: &str = "KAFKA_TLS is on, and the broker may not use TLS on this port";

/// Tells whether a client's text reports a refused connection: settings must be changed, here or at the broker.
pub(super) fn is_refusal(text: &str) -> bool {
    REFUSALS.iter().any(|(part, _)| text.contains(part))
}

/// Explains in one line what is wrong and what to change. Clients keep trying, since the change may be made at the
/// broker.
fn from_connecting(text: &str) -> BrokerError {
    // The text before it only counts the retries.
    let cause = text.rsplit("Source: ").next().unwrap_or(text);
    // OpenSSL's advice behind it names none of our settings.
    let verify = "certificate verify failed";
    let cause = cause.find(verify).map_or(cause, |at| &cause[..at + verify.len()]);
    match REFUSALS.iter().find(|(part, _)| cause.contains(part)) {
        Some((_, hint)) => BrokerError::Configuration(format!("{cause} ({hint})")),
        None => BrokerError::Unavailable(cause.to_owned()),
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

/// Maps an error of librdkafka. `reason` is its text; for an unknown topic that is
/// `Subscribed topic not available: <topic>: <error>`.
pub(super) fn from_rdkafka(code: Option<RDKafkaErrorCode>, reason: &str) -> BrokerError {
    match code {
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            BrokerError::UnknownTopic(reason.split(": ").nth(1).unwrap_or(reason).to_owned())
        }
        // By the text: the code differs from case to case.
        Some(_) if is_refusal(reason) => from_connecting(reason),
        Some(code) if GROUP_CONFIGURATION.contains(&code) => {
            BrokerError::Configuration(format!("{code:?}: {reason}"))
        }
        Some(code) => BrokerError::Unavailable(format!("{code:?}: {reason}")),
        None => BrokerError::Unavailable(reason.to_owned()),
    }
}

/// Maps the error of a commit: the partition has another owner, or the coordinator can't store it.
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
    fn either_clients_report_of_a_refusal_becomes_one_line_with_the_setting_to_look_at() {
        let rskafka = "Connection error: all retries failed: Retry exceeded deadline. Source: Sasl handshake failed: \
                       API error: SaslAuthenticationFailed";
        let refused = from_connecting(rskafka).to_string();
        assert!(refused.starts_with("kafka refused the client: Sasl handshake failed"), "{refused}");
        assert!(refused.contains("KAFKA_SASL_PASSWORD"), "{refused}");

        let librdkafka = "ssl://k:1/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify \
                          failed: broker certificate could not be verified, verify that ssl.ca.location is set";
        let code = Some(RDKafkaErrorCode::BrokerTransportFailure);
        let refused = from_rdkafka(code, librdkafka).to_string();
        assert!(refused.contains("KAFKA_TLS_CA") && !refused.contains("ssl.ca.location"), "{refused}");

        let unreachable =
            "Connection error: all retries failed: Retry exceeded deadline. Source: Connection refused";
        assert!(
            matches!(from_connecting(unreachable), BrokerError::Unavailable(text) if text == "Connection refused")
        );
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
