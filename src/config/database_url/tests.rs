//! Connection strings, parsed as libpq parses them.

use secrecy::ExposeSecret;

use super::*;

/// Parses a string to servers, user, password and database.
fn parsed(text: &str) -> Result<String, String> {
    let target = DatabaseTarget::parse(text)?;
    assert!(!format!("{target:?}").contains("hunter2"), "{target:?}");
    let part = |part: &Option<String>| part.clone().unwrap_or_else(|| "-".to_owned());
    let password = target.password.as_ref().map_or("-", ExposeSecret::expose_secret);
    let servers: Vec<String> = target.servers.iter().map(Server::address_text).collect();
    Ok(format!("{} {} {password} {}", servers.join(","), part(&target.user), part(&target.database)))
}

#[test]
fn the_forms_that_libpq_takes() {
    for (text, expected) in [
        ("postgresql://u:hunter2@h:5/d", "h:5 u hunter2 d"),
        ("postgres://h", "h:5432 - - -"),
        ("POSTGRESQL://h/", "h:5432 - - -"),
        (" postgresql://u@h/d\n", "h:5432 u - d"),
        ("postgresql://u:p@/d?host=/run/postgresql", "/run/postgresql/.s.PGSQL.5432 u p d"),
        ("postgresql:///d?host=/run/postgresql&port=6432", "/run/postgresql/.s.PGSQL.6432 - - d"),
        ("postgresql://%2Frun%2Fpostgresql/d", "/run/postgresql/.s.PGSQL.5432 - - d"),
        ("postgresql:///d@x?host=/tmp", "/tmp/.s.PGSQL.5432 - - d@x"),
        ("postgresql://u:p@h1:5432,h2:5433,h3/d", "h1:5432,h2:5433,h3:5432 u p d"),
        ("postgresql://u:p@[::1]:5433/d", "[::1]:5433 u p d"),
        ("postgresql://[::1],[2001:db8::1]:6/d", "[::1]:5432,[2001:db8::1]:6 - - d"),
        ("postgresql://h/d?user=u&password=p%2Bq+r", "h:5432 u p+q+r d"),
        ("postgresql://u:p%40s%2fs%3A%25@h/d%20e", "h:5432 u p@s/s:% d e"),
        ("postgresql://u:a:b:c@h/d", "h:5432 u a:b:c d"),
        // Characters that had to be escaped.
        ("postgresql://u:p@ss@h/d", "h:5432 u p@ss d"),
        ("postgresql://u:p#ss@h/d#x", "h:5432 u p#ss d#x"),
        ("postgresql://u:p?ss@h/d", "h:5432 u p?ss d"),
        ("postgresql://u:p ss@h/d", "h:5432 u p ss d"),
        ("postgresql://u28:123/abc@127.0.0.1:5999/d28", "127.0.0.1:5999 u28 123/abc d28"),
        ("postgresql://u:12/hunter2@h", "h:5432 u 12/hunter2 -"),
        ("host=h dbname=d", "h:5432 - - d"),
        ("host = 'h' user='a b' password='it\\'s \\\\'  dbname=d port=6", "h:6 a b it's \\ d"),
        ("host=h1,h2 port=1,2", "h1:1,h2:2 - - -"),
        ("host=::1 dbname=d", "[::1]:5432 - - d"),
        ("hostaddr=10.0.0.1 user=u", "10.0.0.1:5432 u - -"),
        ("host=/tmp user=u password=a\\ b", "/tmp/.s.PGSQL.5432 u a b -"),
        ("postgresql://büro.example/d", "büro.example:5432 - - d"),
    ] {
        assert_eq!(parsed(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn what_cant_be_done_is_said_by_the_name_of_the_part_without_its_value() {
    for (text, part) in [
        ("mysql://u:hunter2@h/d", "URL"),
        ("hunter2", "URL"),
        ("mysql://h/?a=hunter2", "URL"),
        ("postgresql://", "host"),
        ("postgresql:///d", "host"),
        ("dbname=hunter2", "host"),
        ("postgresql://u:hunter2@h:port/d", "port"),
        ("postgresql://u:hunter2@h:0/d", "port"),
        ("postgresql://u:hunter2@h:70000/d", "port"),
        ("postgresql://u:p/hunter2", "port"),
        ("postgresql://u:p%hunter2@h/d", "password"),
        ("postgresql://u:%ff%fehunter2@h/d", "password"),
        ("postgresql://u%zz:hunter2@h/d", "user"),
        ("postgresql://u:hunter2@h/d%", "dbname"),
        ("postgresql://u:hunter2%00@h/d", "password"),
        ("postgresql://u:hunter2@[::1/d", "host"),
        ("postgresql://u:hunter2@::1/d", "IPv6"),
        ("postgresql://u:hunter2@h1,,h2/d", "host"),
        ("postgresql://u:hunter2@h1:1,h2:2/d?port=1,2,3", "port"),
        ("postgresql://u:hunter2@h x/d", "host"),
        ("postgresql://h/d?hunter2=1", "parameter"),
        ("postgresql://h/d?service=hunter2", "service"),
        ("postgresql://h/d?passfile=/hunter2", "passfile"),
        ("postgresql://h/d?target_session_attrs=standby", "target_session_attrs"),
        ("postgresql://h/d?connect_timeout=hunter2", "connect_timeout"),
        ("postgresql://h/d?client_encoding=LATIN1", "client_encoding"),
        ("postgresql://h/d?keepalives=yes", "keepalives"),
        ("postgresql://h1,h2/d?hostaddr=10.0.0.1", "hostaddr"),
        ("postgresql://h/d?hostaddr=hunter2", "hostaddr"),
        ("host=h password='hunter2", "quoted"),
        ("host=h password=a hunter2", "parameter"),
    ] {
        let error = parsed(text).expect_err(text);
        assert!(error.contains(part) && !error.contains("hunter2"), "{text}: {error}");
    }
    let many = ["h"; 17].join(",");
    assert!(parsed(&format!("postgresql://{many}/d")).is_err());
}

#[test]
fn parameters_mean_what_libpq_means() {
    let target = |query: &str| DatabaseTarget::parse(&format!("postgresql://h/d?{query}")).unwrap();
    let full = target(
        "application_name=a%20b&options=-c%20x%3D1&connect_timeout=3&tcp_user_timeout=2500&keepalives_idle=7\
         &keepalives_interval=2&keepalives_count=4&channel_binding=require&load_balance_hosts=random&ssl=true\
         &client_encoding=UTF8&gssencmode=disable&sslnegotiation=postgres",
    );
    assert_eq!(full.application_name.as_deref(), Some("a b"));
    assert_eq!(full.options.as_deref(), Some("-c x=1"));
    assert_eq!(full.connect_timeout, Some(Duration::from_secs(3)));
    let TcpSettings { keepalive_idle, keepalive_interval, keepalive_count, user_timeout, .. } = full.tcp;
    assert_eq!(keepalive_idle, Some(Duration::from_secs(7)));
    assert_eq!(keepalive_interval, Some(Duration::from_secs(2)));
    assert_eq!((keepalive_count, user_timeout), (Some(4), Some(Duration::from_millis(2500))));
    assert_eq!(full.channel_binding, ChannelBinding::Require);
    assert!(full.balances_load && matches!(full.encryption, Encryption::Unverified));
    assert!(target("keepalives=0").tcp.without_keepalive);
    assert_eq!(target("connect_timeout=0").connect_timeout, None);

    let writable = |text: &str| DatabaseTarget::parse(text).unwrap().must_be_writable;
    assert!(!writable("postgresql://h/d"));
    assert!(writable("postgresql://h/d?target_session_attrs=read-write"));
    assert!(writable("postgresql://h/d?target_session_attrs=primary"));
    assert!(writable("postgresql://h1,h2/d"), "a list is there to find the one that takes writes");
    assert!(!writable("postgresql://h1,h2/d?target_session_attrs=any"));
}

#[test]
fn an_address_in_the_place_of_a_name_is_refused_and_not_shown() {
    for text in [
        "host=h dbname=postgresql://u:hunter2@h2/d2 user=u",
        "postgresql://u@h/d?application_name=postgresql://u:hunter2@h",
    ] {
        let error = DatabaseTarget::parse(text).unwrap_err();
        assert!(error.contains("address with a login") && !error.contains("hunter2"), "{error}");
    }
    assert!(DatabaseTarget::parse("postgresql://u@h/d?application_name=https://example.org").is_ok());
}

#[test]
fn what_is_shown_is_what_connects() {
    for text in [
        "postgresql://u:hunter2@h:5/d",
        "postgresql://u:hunter2/abc@127.0.0.1:5999/d28",
        "postgresql://u:hunter2@ss@h/d",
        "host=h user='u x' password='hunter2 b' dbname=d sslmode=require",
        "postgresql:///d?host=/run/postgresql&password=hunter2",
        "postgresql://u:hunter2@h1:1,[::1],h3:3/d?application_name=x%26y",
    ] {
        let shown = without_password(text, "***").unwrap();
        assert!(!shown.contains("hunter2") && shown.contains("***"), "{shown}");
        let (a, b) = (DatabaseTarget::parse(text).unwrap(), DatabaseTarget::parse(&shown).unwrap());
        assert_eq!((a.servers, a.user, a.database), (b.servers, b.user, b.database), "{shown}");
        assert_eq!(a.application_name, b.application_name);
    }
}
