//! Events for assertions: every one that a test leaves or reads is checked against its schema.

use filesys::broker::Delivery;
use filesys::domain::messages::MessageSchema;
use serde_json::Value;

use super::json_schema;
use super::records::header;

/// Returns the event in a record, which must be as the schema says, without members that it doesn't know.
pub fn event(delivery: &Delivery) -> Value {
    assert_eq!(header(delivery, "content-type"), "application/cloudevents+json");
    assert_eq!(header(delivery, "schema-version"), "2");
    let event = checked(delivery.record.value.as_deref().expect("an event has a value"));
    assert_eq!(header(delivery, "event-id"), event["id"]);
    assert_eq!(delivery.record.key.as_deref(), event["subject"].as_str().map(str::as_bytes));
    event
}

/// Returns the event in a value, which must be as the schema says.
pub fn checked(value: &[u8]) -> Value {
    let schema = MessageSchema::FileEvents.json();
    let event: Value = serde_json::from_slice(value).unwrap();
    let mut problems = json_schema::problems(&schema, &event);
    problems.extend(json_schema::unknown_members(&schema, &event));
    assert_eq!(problems, [""; 0], "{event}");
    event
}
