//! Migrations up, down and up again, many at once; every column has a comment; the code's schema is the real one.

use filesys::db::migrations::{migrate, revert, status};

use crate::support::Database;

/// Schema that the migrations make, one line for each object, without diesel's own table.
const EVERYTHING: &str = "
WITH ours AS (
    SELECT c.oid, c.relname, c.relkind, c.reloptions FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relname NOT LIKE '\\_\\_diesel%'
), extensions AS (
    -- pg_trgm stays: others may use it.
    SELECT objid FROM pg_depend WHERE deptype = 'e'
)
SELECT line FROM (
    SELECT format('%s %s %s %s', relkind, relname, reloptions, obj_description(oid, 'pg_class')) AS line FROM ours
    UNION ALL
    -- Numbers of columns have gaps where others were dropped.
    SELECT format('column %s.%s %s %s %s %s not null %s: %s', o.relname,
        row_number() OVER (PARTITION BY o.oid ORDER BY a.attnum), a.attname,
        format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attnotnull,
        col_description(o.oid, a.attnum))
    FROM ours o JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_attrdef d ON d.adrelid = o.oid AND d.adnum = a.attnum
    UNION ALL
    SELECT format('constraint %s on %s: %s', conname, o.relname, pg_get_constraintdef(k.oid))
    FROM pg_constraint k JOIN ours o ON o.oid = k.conrelid
    UNION ALL
    SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename NOT LIKE '\\_\\_diesel%'
    UNION ALL
    SELECT format('sequence %s %s %s', sequencename, data_type, start_value) FROM pg_sequences
    UNION ALL
    SELECT format('trigger %s: %s', tgname, pg_get_triggerdef(oid)) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL
    SELECT format('function %s: %s', proname, prosrc) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        AND oid NOT IN (SELECT objid FROM extensions)
    UNION ALL
    SELECT format('type %s %s', typname, typtype) FROM pg_type
    WHERE typnamespace = 'public'::regnamespace AND typname NOT LIKE '%\\_\\_diesel%'
        AND oid NOT IN (SELECT objid FROM extensions) AND typelem NOT IN (SELECT objid FROM extensions)
) AS everything (line) ORDER BY line";

async fn everything(database: &Database) -> Vec<String> {
    let connection = database.connect().await;
    let rows = connection.query(EVERYTHING, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn down_takes_back_everything_and_up_makes_the_same_again() {
    let database = Database::empty().await;
    let applied = migrate(database.url()).await.unwrap();
    let first = everything(&database).await;
    assert!(first.iter().any(|line| line.contains("files_status_known")), "{first:#?}");

    let mut reverted = Vec::new();
    while let Some(name) = revert(database.url()).await.unwrap() {
        reverted.insert(0, name);
    }
    assert_eq!(reverted, applied);
    assert_eq!(everything(&database).await, [""; 0]);

    assert_eq!(migrate(database.url()).await.unwrap(), applied);
    assert_eq!(everything(&database).await, first);
    assert_eq!(migrate(database.url()).await.unwrap(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_version_goes_down_and_up_with_rows_in_the_others() {
    let database = Database::empty().await;
    migrate(database.url()).await.unwrap();
    let whole = everything(&database).await;
    let count = status(database.url()).await.unwrap().len();
    for depth in 1..=count {
        for _ in 0..depth {
            revert(database.url()).await.unwrap().expect("a version to take back");
        }
        let applied = status(database.url()).await.unwrap();
        assert_eq!(applied.iter().filter(|version| !version.applied).count(), depth);
        migrate(database.url()).await.unwrap();
        assert_eq!(everything(&database).await, whole);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_migrations_at_once_one_migrates_and_the_others_wait() {
    let database = Database::empty().await;
    let ten = (0..10).map(|_| {
        let url = database.url().clone();
        tokio::spawn(async move { migrate(&url).await.unwrap() })
    });
    let done: Vec<Vec<String>> =
        futures_util::future::join_all(ten).await.into_iter().map(Result::unwrap).collect();
    let did: Vec<&Vec<String>> = done.iter().filter(|applied| !applied.is_empty()).collect();
    assert_eq!(did.len(), 1, "{done:?}");
    let all = status(database.url()).await.unwrap();
    assert_eq!(did[0].len(), all.len());
    assert!(all.iter().all(|version| version.applied));
}

#[tokio::test]
async fn every_table_and_column_says_what_it_is() {
    const SILENT: &str = "
        SELECT c.relname || coalesce('.' || a.attname, '') FROM pg_class c
        LEFT JOIN (SELECT attrelid, attnum, attname FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped
                   UNION ALL SELECT oid, 0, NULL FROM pg_class) a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname NOT LIKE '\\_\\_diesel%'
            AND coalesce(CASE a.attnum WHEN 0 THEN obj_description(c.oid, 'pg_class')
                         ELSE col_description(c.oid, a.attnum) END, '') = ''
        ORDER BY 1";
    let database = Database::migrated().await;
    let rows = database.connect().await.query(SILENT, &[]).await.unwrap();
    let silent: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(silent, [""; 0], "without a comment");
}

#[tokio::test]
async fn diesel_sees_the_columns_that_are_there() {
    const COLUMNS: &str = "
        SELECT table_name::text, column_name::text, data_type::text, is_nullable = 'YES'
        FROM information_schema.columns
        WHERE table_schema = 'public' AND table_name NOT LIKE '\\_\\_diesel%'
        ORDER BY table_name, ordinal_position";
    let database = Database::migrated().await;
    let rows = database.connect().await.query(COLUMNS, &[]).await.unwrap();
    let there: Vec<String> = rows
        .iter()
        .map(|row| {
            let (table, column): (String, String) = (row.get(0), row.get(1));
            let kind = diesel_type(&row.get::<_, String>(2));
            if row.get(3) {
                format!("{table}.{column} -> Nullable<{kind}>")
            } else {
                format!("{table}.{column} -> {kind}")
            }
        })
        .collect();
    assert_eq!(declared(), there);
}

fn diesel_type(sql: &str) -> &'static str {
    match sql {
        "bigint" => "BigInt",
        "integer" => "Integer",
        "text" => "Text",
        "character varying" => "Varchar",
        "timestamp with time zone" => "Timestamptz",
        "uuid" => "Uuid",
        "bytea" => "Binary",
        "boolean" => "Bool",
        "jsonb" => "Jsonb",
        // The only arrays are those of texts.
        "ARRAY" => "Array<Text>",
        other => panic!("{other} has no diesel type here yet"),
    }
}

/// The lines of `src/db/schema.rs`, the tables in order of their names.
fn declared() -> Vec<String> {
    let mut tables: Vec<Vec<String>> = Vec::new();
    for line in include_str!("../../../src/db/schema.rs").lines() {
        let line = line.trim();
        if line.starts_with("diesel::") {
            continue;
        }
        if let Some((column, kind)) = line.split_once(" -> ") {
            let table = tables.last_mut().expect("columns are inside of a table");
            let line = format!("{}.{column} -> {}", table[0], kind.trim_end_matches(','));
            table.push(line);
        } else if let Some((table, _key)) = line.split_once(" (") {
            tables.push(vec![table.to_owned()]);
        }
    }
    tables.sort();
    tables.into_iter().flat_map(|table| table.into_iter().skip(1)).collect()
}
