//! Validator of the part of JSON Schema 2020-12 that the schemas of messages use. It panics at any other keyword, so that none
//! is ignored, and is compared with another implementation in `messages::schemas`.

use serde_json::{Map, Value};

/// Keywords that say nothing about a value.
const ANNOTATIONS: [&str; 5] = ["$schema", "$id", "title", "description", "default"];

/// Lists what is wrong with a value, each problem behind the path of the member. Members that the schema doesn't know are
/// allowed.
pub fn problems(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, value, "", &mut found);
    found
}

/// Lists the members of an object, and of objects in it, that the schema doesn't know.
pub fn unknown_members(schema: &Value, value: &Value) -> Vec<String> {
    let Value::Object(members) = value else { return Vec::new() };
    if schema.get("additionalProperties").is_some() {
        return Vec::new();
    }
    let known = &schema["properties"];
    let of_one = |(name, value): (&String, &Value)| match known.get(name) {
        None => vec![name.clone()],
        Some(schema) => {
            unknown_members(schema, value).iter().map(|inner| format!("{name}.{inner}")).collect()
        }
    };
    members.iter().flat_map(of_one).collect()
}

fn check(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    let schema = schema.as_object().unwrap_or_else(|| panic!("{path}: {schema} is no schema"));
    for (keyword, rule) in schema {
        let is_met = match keyword.as_str() {
            "type" => {
                let names = rule.as_array().map_or(std::slice::from_ref(rule), Vec::as_slice);
                names.iter().any(|name| has_type(value, name.as_str().unwrap()))
            }
            "const" => value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
            "minLength" => is_text(value, |text| text.chars().count() as u64 >= rule.as_u64().unwrap()),
            "pattern" => is_text(value, |text| matches_pattern(rule.as_str().unwrap(), text)),
            "format" => has_format(value, rule.as_str().unwrap()),
            "required" => value.as_object().is_none_or(|members| {
                rule.as_array().unwrap().iter().all(|name| members.contains_key(name.as_str().unwrap()))
            }),
            "properties" => {
                check_members(rule.as_object().unwrap(), value, path, found);
                true
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(rule, item, &format!("{path}/{index}"), found);
                }
                true
            }
            "additionalProperties" => *rule == Value::Bool(true),
            "anyOf" | "oneOf" => {
                let met = rule.as_array().unwrap().iter().filter(|one| problems(one, value).is_empty());
                if keyword == "oneOf" { met.count() == 1 } else { met.count() > 0 }
            }
            "if" => {
                if problems(rule, value).is_empty() {
                    check(&schema["then"], value, path, found);
                }
                true
            }
            "then" => true,
            annotation => {
                assert!(ANNOTATIONS.contains(&annotation), "{path}: the validator has no keyword {keyword}");
                true
            }
        };
        if !is_met {
            found.push(format!("{path}: {value} breaks {keyword} {rule}"));
        }
    }
}

fn check_members(rules: &Map<String, Value>, value: &Value, path: &str, found: &mut Vec<String>) {
    for (name, rule) in rules {
        if let Some(member) = value.get(name) {
            check(rule, member, &format!("{path}/{name}"), found);
        }
    }
}

fn has_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => panic!("{name} is no type"),
    }
}

fn is_text(value: &Value, rule: impl Fn(&str) -> bool) -> bool {
    value.as_str().is_none_or(rule)
}

/// Matches the patterns that are used, written out: a general matcher would be a dependency.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    match pattern {
        "^s3://" => text.starts_with("s3://"),
        "^[0-9]{10,}$" => text.len() >= 10 && are_digits(text),
        "^[1-9][0-9]*$" => !text.is_empty() && !text.starts_with('0') && are_digits(text),
        "^[0-9a-f]{64}$" => text.len() == 64 && text.bytes().all(|byte| b"0123456789abcdef".contains(&byte)),
        _ => panic!("the validator has no pattern {pattern}"),
    }
}

fn has_format(value: &Value, format: &str) -> bool {
    match format {
        "date-time" => is_text(value, |text| chrono::DateTime::parse_from_rfc3339(text).is_ok()),
        "uuid" => is_text(value, |text| text.len() == 36 && text.parse::<uuid::Uuid>().is_ok()),
        "uri" => is_text(value, |text| url::Url::parse(text).is_ok()),
        "uri-reference" => {
            let base = url::Url::parse("http://base.example").unwrap();
            is_text(value, |text| base.join(text).is_ok())
        }
        "int32" => value.as_i64().is_none_or(|number| i32::try_from(number).is_ok()),
        "int64" => value.as_f64().is_none_or(|_| value.is_i64()),
        _ => panic!("the validator has no format {format}"),
    }
}
