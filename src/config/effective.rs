//! Effective settings of an environment, and the source of each. Secrets are not shown.

use secrecy::ExposeSecret;
use serde::Serialize;

use super::reference::{self, Setting};
use super::{ConfigError, EmbeddedConfig, Env, Role, database_url};

/// Setting with its effective value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Effective {
    pub group: &'static str,
    pub name: &'static str,
    /// `None` when it is not set and has no default.
    pub value: Option<String>,
    pub source: Source,
    /// Variable that the value comes from.
    pub variable: Option<String>,
}

/// Source of a setting's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    Environment,
    /// Environment, under another name of the setting.
    Alias,
    /// File that `NAME_FILE` names.
    File,
    Default,
    Unset,
    /// Set, but not used: it belongs to a service that `up` runs itself.
    Ignored,
}

const HIDDEN: &str = "***";

/// Returns the settings that a role reads from `env`. Without a role, returns those of every role, and requires none.
pub fn effective(env: Env, role: Option<Role>) -> Result<Vec<Effective>, ConfigError> {
    let mut env = if role.is_none() { env.tolerating_absence() } else { env };
    match role {
        Some(role) => role.check(&mut env),
        None => {
            // Without `up`, which has rules of its own about which settings go together.
            for role in [Role::Serve, Role::Worker, Role::Migrate] {
                role.check(&mut env);
            }
            EmbeddedConfig::read(&mut env);
        }
    }
    env.finish()?;
    let settings = reference::settings();
    let of_role = settings.iter().filter(|setting| role.is_none_or(|role| setting.is_read_by(role)));
    let found: Vec<Effective> = of_role.filter_map(|setting| find(&mut env, setting, role)).collect();
    env.finish()?;
    Ok(found)
}

/// Finds the value of a setting; `None` when the role doesn't read it and it isn't set.
fn find(env: &mut Env, setting: &Setting, role: Option<Role>) -> Option<Effective> {
    let &Setting { group, name, .. } = setting;
    let was_read = role.is_none() || env.variables().contains_key(name);
    let effective = |value, source, variable| Some(Effective { group, name, value, source, variable });
    if let Some((variable, source)) = look(env, setting) {
        let source = if was_read { source } else { Source::Ignored };
        return effective(Some(shown(env, setting, &variable)), source, Some(variable));
    }
    if !was_read {
        return None;
    }
    let default = setting.default_of(role, |value, role| match role {
        None => value.to_owned(),
        Some(role) => format!("{value} ({})", role.name()),
    });
    let source = if default.is_some() { Source::Default } else { Source::Unset };
    effective(default, source, None)
}

fn look(env: &Env, setting: &Setting) -> Option<(String, Source)> {
    let names = std::iter::once((setting.name.to_owned(), Source::Environment));
    let aliases = setting.variable.aliases.iter().map(|alias| (alias.clone(), Source::Alias));
    let file = setting.variable.secret.then(|| (format!("{}_FILE", setting.name), Source::File));
    names.chain(aliases).chain(file).find(|(name, _)| env.peek(name).is_some())
}

/// Returns the value to show. Secrets are hidden, except a database's address, and so are user and password in any URL
/// or address.
fn shown(env: &mut Env, setting: &Setting, variable: &str) -> String {
    if !setting.variable.secret {
        return without_user_info(env.peek(variable).unwrap_or_default());
    }
    if setting.name != "DATABASE_URL" {
        return HIDDEN.to_owned();
    }
    let url = env.secret(setting.name);
    url.and_then(|url| database_url::without_password(url.expose_secret(), HIDDEN))
        .unwrap_or_else(|| HIDDEN.to_owned())
}

/// Hides what stands before the last `@`: it may be a password, whatever the text is.
fn without_user_info(text: &str) -> String {
    let Some((before, rest)) = text.rsplit_once('@') else { return text.to_owned() };
    let scheme = before.find("://").map_or("", |end| &before[..end + 3]);
    format!("{scheme}{HIDDEN}@{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_in<'a>(found: &'a [Effective], name: &str) -> Option<&'a Effective> {
        found.iter().find(|setting| setting.name == name)
    }

    #[test]
    fn each_setting_tells_where_it_comes_from() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "postgresql://u:hunter2@db/files\n").unwrap();
        let env = Env::of([
            ("PORT", "80"),
            ("KAFKA_BROKER", "k:9092"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
            ("DATABASE_URL_FILE", file.path().to_str().unwrap()),
        ]);
        let found = effective(env, None).unwrap();
        let told = |name| {
            let Effective { value, source, variable, .. } = find_in(&found, name).unwrap().clone();
            (value.unwrap_or_default(), source, variable.unwrap_or_default())
        };
        let is = |value: &str, source, variable: &str| (value.to_owned(), source, variable.to_owned());
        assert_eq!(told("PORT"), is("80", Source::Environment, "PORT"));
        assert_eq!(told("KAFKA_BROKERS"), is("k:9092", Source::Alias, "KAFKA_BROKER"));
        assert_eq!(told("AWS_SECRET_ACCESS_KEY"), is("***", Source::Environment, "AWS_SECRET_ACCESS_KEY"));
        assert_eq!(
            told("DATABASE_URL"),
            is("postgresql://u:***@db/files", Source::File, "DATABASE_URL_FILE")
        );
        assert_eq!(told("SHUTDOWN_TIMEOUT"), is("20s", Source::Default, ""));
        assert_eq!(told("WORKER_REPLICAS"), is("1 (worker), 2 (up)", Source::Default, ""));
        assert_eq!(told("PG_BIN"), is("", Source::Unset, ""));
        assert_eq!(found.len(), reference::settings().len());
    }

    #[test]
    fn a_role_has_its_own_settings_defaults_and_requirements() {
        let error = effective(Env::default(), Some(Role::Worker)).unwrap_err();
        assert_eq!(error.0.len(), 3, "{error}");
        let found = effective(Env::of([("S3_REGION", "eu-1")]), Some(Role::Up)).unwrap();
        assert_eq!(find_in(&found, "WORKER_REPLICAS").unwrap().value.as_deref(), Some("2"));
        assert_eq!(find_in(&found, "S3_REGION").unwrap().source, Source::Ignored);
        assert_eq!(find_in(&found, "KAFKA_BROKERS"), None);
    }

    #[test]
    fn without_a_role_nothing_is_required_and_everything_is_checked_once() {
        assert!(effective(Env::default(), None).is_ok());
        let wrong =
            [("KAFKA_PARTITIONS", "many"), ("DATABASE_PORT", "1"), ("PORT", "x"), ("WORKER_REPLICAS", "0")];
        let error = effective(Env::of(wrong), None).unwrap_err();
        for (name, _) in wrong {
            let count = error.0.iter().filter(|problem| problem.contains(name)).count();
            assert!(count == 1 || name == "DATABASE_PORT", "{name}: {error}");
        }
        assert!(error.to_string().contains("DATABASE_HOST is required"), "{error}");
    }

    #[test]
    fn passwords_are_taken_out_of_urls() {
        for (url, shown) in [
            ("postgresql://u:p@h:5/d", "postgresql://u:***@h:5/d"),
            ("postgresql://u@h/d?password=p&sslmode=require", "postgresql://u:***@h/d?sslmode=require"),
            ("postgresql://u28:123/abc@127.0.0.1:5999/d28", "postgresql://u28:***@127.0.0.1:5999/d28"),
            ("host=h user=u password='a b' dbname=d", "postgresql://u:***@h/d"),
        ] {
            assert_eq!(database_url::without_password(url, HIDDEN).as_deref(), Some(shown));
        }
        assert_eq!(database_url::without_password("h:9092", HIDDEN), None);
        for (text, shown) in [
            ("http://h:4566", "http://h:4566"),
            ("http://u:p/w@h:4566/x", "http://***@h:4566/x"),
            ("kafka://u:p@a:1,u:p@b:1", "kafka://***@b:1"),
            ("u:p@h:9092", "***@h:9092"),
        ] {
            assert_eq!(without_user_info(text), shown);
        }
    }
}
