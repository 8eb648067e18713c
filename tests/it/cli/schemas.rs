//! `filesys schemas`: the list, and one of them.

use filesys::domain::messages::MessageSchema;
use serde_json::Value;

use super::{code, filesys, stderr, stdout};

#[test]
fn schemas_are_listed_and_printed_without_any_setting() {
    let list = filesys(&["schemas"], &[]);
    assert_eq!(code(&list), 0, "{}", stderr(&list));
    let table = stdout(&list);
    let names = table.lines().skip(1).map(|line| line.split_whitespace().next().unwrap());
    assert_eq!(names.collect::<Vec<_>>(), MessageSchema::ALL.map(MessageSchema::name));
    for schema in MessageSchema::ALL {
        let printed = filesys(&["schemas", schema.name()], &[]);
        assert_eq!(serde_json::from_str::<Value>(&stdout(&printed)).unwrap(), schema.json());
    }
    assert_eq!(code(&filesys(&["schemas", "file.nothing"], &[])), 2);
}
