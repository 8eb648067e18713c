//! The tables as diesel sees them; `tests/it` compares them with the migrated database.

diesel::table! {
    files (id) {
        id -> BigInt,
        title -> Varchar,
        description -> Nullable<Text>,
        status -> Varchar,
        s3_location -> Nullable<Varchar>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        format -> Nullable<Varchar>,
        content_type -> Varchar,
        size -> Nullable<BigInt>,
        sha256 -> Nullable<Varchar>,
        attempt -> Integer,
        error -> Nullable<Text>,
        deadline_at -> Timestamptz,
        sequence -> BigInt,
        erased_at -> Nullable<Timestamptz>,
        origin -> Nullable<Varchar>,
        file_name -> Nullable<Text>,
        file_type -> Nullable<Varchar>,
        claimed_type -> Nullable<Varchar>,
        uploaded_by -> Nullable<Varchar>,
        uploaded_by_name -> Nullable<Varchar>,
        folder -> Nullable<Varchar>,
        tags -> Nullable<Array<Text>>,
        related_post_id -> Nullable<Varchar>,
        related_category_id -> Nullable<Varchar>,
        metadata -> Nullable<Jsonb>,
        view_count -> Nullable<BigInt>,
        download_count -> Nullable<BigInt>,
        expires_at -> Nullable<Timestamptz>,
        trashed_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    transitions (file_id, id) {
        id -> BigInt,
        file_id -> BigInt,
        at -> Timestamptz,
        from_status -> Nullable<Varchar>,
        to_status -> Varchar,
        attempt -> Integer,
        worker -> Nullable<Text>,
        kafka_partition -> Nullable<Integer>,
        kafka_offset -> Nullable<BigInt>,
        duration_ms -> Nullable<BigInt>,
        error -> Nullable<Text>,
    }
}

diesel::table! {
    outbox (id) {
        id -> BigInt,
        event_id -> Uuid,
        topic -> Varchar,
        record_key -> Nullable<Binary>,
        value -> Binary,
        file_id -> BigInt,
        created_at -> Timestamptz,
        parked_at -> Nullable<Timestamptz>,
        park_reason -> Nullable<Text>,
        retry_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    object_removals (id) {
        id -> BigInt,
        file_id -> BigInt,
        key -> Varchar,
        retry_at -> Timestamptz,
        created_at -> Timestamptz,
        s3_upload_id -> Nullable<Text>,
    }
}

diesel::table! {
    uploads (file_id) {
        file_id -> BigInt,
        key -> Varchar,
        length -> Nullable<BigInt>,
        stored -> BigInt,
        sha256_state -> Nullable<Binary>,
        wanted_sha256 -> Nullable<Varchar>,
        s3_upload_id -> Nullable<Text>,
        parts -> Jsonb,
        tail_size -> BigInt,
        tail_number -> BigInt,
        has_tails -> Bool,
        tus_metadata -> Nullable<Text>,
        expires_at -> Timestamptz,
        lock_id -> Nullable<Uuid>,
        locked_until -> Timestamptz,
    }
}

diesel::table! {
    idempotency_keys (id) {
        id -> Varchar,
        file_id -> BigInt,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    dead_letters (id) {
        id -> BigInt,
        letter_id -> Uuid,
        kafka_partition -> Integer,
        kafka_offset -> BigInt,
        original_topic -> Nullable<Text>,
        original_partition -> Nullable<Integer>,
        original_offset -> Nullable<BigInt>,
        record_key -> Nullable<Binary>,
        value -> Nullable<Binary>,
        headers -> Jsonb,
        file_id -> Nullable<BigInt>,
        attempt -> Nullable<Integer>,
        error -> Text,
        state -> Varchar,
        received_at -> Timestamptz,
        settled_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    file_titles (file_id) {
        file_id -> BigInt,
        title -> Text,
    }
}

diesel::table! {
    status_counts (id) {
        id -> BigInt,
        status -> Varchar,
        files -> BigInt,
    }
}

diesel::table! {
    schema_compatibility (version) {
        version -> Text,
        works_with -> Text,
    }
}

diesel::table! {
    write_probes (padding) {
        padding -> Text,
    }
}

diesel::joinable!(idempotency_keys -> files (file_id));
diesel::joinable!(object_removals -> files (file_id));
diesel::joinable!(uploads -> files (file_id));
diesel::allow_tables_to_appear_in_same_query!(
    files,
    file_titles,
    idempotency_keys,
    object_removals,
    outbox,
    uploads
);
