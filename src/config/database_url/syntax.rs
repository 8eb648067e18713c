//! Syntax of connection strings: both forms are read into parameters, and written from them.

use std::fmt::Write;

use secrecy::SecretString;

use super::Parameters;

impl Parameters {
    pub(super) fn read(&mut self, text: &str) -> Result<(), String> {
        let text = text.trim();
        if let Some(rest) = without_scheme(text) {
            return self.read_url(rest);
        }
        // A URL of another scheme must not be parsed as pairs: it may contain a password.
        if text.split_once('=').is_some_and(|(name, _)| !name.contains(':')) {
            return self.read_pairs(text);
        }
        Err("it is neither a URL like postgresql://user:password@host:5432/name nor a string like host=… dbname=…"
            .to_owned())
    }

    fn read_url(&mut self, rest: &str) -> Result<(), String> {
        let (user_info, rest) = split_user_info(rest);
        if let Some(user_info) = user_info {
            let (user, password) =
                user_info.split_once(':').map_or((user_info, None), |(user, word)| (user, Some(word)));
            self.set_decoded("user", user)?;
            self.set_decoded("password", password.unwrap_or_default())?;
        }
        let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, query)| (rest, query));
        let (hosts, database) = rest.split_once('/').unwrap_or((rest, ""));
        if !hosts.is_empty() {
            let (mut names, mut ports) = (Vec::new(), Vec::new());
            for one in hosts.split(',') {
                let (name, port) = split_port(one)?;
                names.push(decode(name, "host")?);
                ports.push(port.to_owned());
            }
            self.set("host", names.join(","))?;
            if ports.iter().any(|port| !port.is_empty()) {
                self.set("port", ports.join(","))?;
            }
        }
        self.set_decoded("dbname", database)?;
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let Some((name, value)) = parameter.split_once('=') else {
                return Err("a parameter of it has no value".to_owned());
            };
            let name = decode(name, "parameter")?;
            let value = decode(value, "parameter")?;
            self.set(&name, value)?;
        }
        Ok(())
    }

    /// Sets a percent-decoded parameter; an empty one counts as absent.
    fn set_decoded(&mut self, name: &str, text: &str) -> Result<(), String> {
        if text.is_empty() { Ok(()) } else { self.set(name, decode(text, name)?) }
    }

    /// Reads `name = value` pairs; a value may be quoted, and a backslash escapes the next character.
    fn read_pairs(&mut self, text: &str) -> Result<(), String> {
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let Some((name, after)) = rest.split_once('=') else {
                return Err("a parameter of it has no value".to_owned());
            };
            let (value, after) = take_value(after.trim_start())?;
            self.set(name.trim(), value)?;
            rest = after.trim_start();
        }
        Ok(())
    }

    /// Writes the parameters as a URL.
    fn url(&self) -> SecretString {
        SecretString::from(self.write(encode))
    }

    fn write(&self, password: impl Fn(&str) -> String) -> String {
        let get = |name: &str| self.0.get(name).map(String::as_str).filter(|value| !value.is_empty());
        let mut url = "postgresql://".to_owned();
        if let Some(user) = get("user") {
            url.push_str(&encode(user));
        }
        if let Some(word) = get("password") {
            // Writing to a String can't fail.
            let _ = write!(url, ":{}", password(word));
        }
        if get("user").or(get("password")).is_some() {
            url.push('@');
        }
        let ports: Vec<&str> = get("port").map(|ports| ports.split(',').collect()).unwrap_or_default();
        let hosts = get("host").map(|hosts| hosts.split(',').enumerate());
        for (index, host) in hosts.into_iter().flatten() {
            let separator = if index == 0 { "" } else { "," };
            let host = if host.contains(':') { format!("[{host}]") } else { encode(host) };
            let _ = write!(url, "{separator}{host}");
            if let Some(port) = ports.get(index).or(ports.first().filter(|_| ports.len() == 1))
                && !port.is_empty()
            {
                let _ = write!(url, ":{port}");
            }
        }
        if let Some(database) = get("dbname") {
            let _ = write!(url, "/{}", encode(database));
        }
        let in_place = ["user", "password", "host", "dbname"];
        let is_elsewhere = |name: &str| in_place.contains(&name) || (name == "port" && get("host").is_some());
        let others = self.0.iter().filter(|(name, _)| !is_elsewhere(name));
        for (index, (name, value)) in others.enumerate() {
            let _ = write!(url, "{}{name}={}", if index == 0 { '?' } else { '&' }, encode(value));
        }
        url
    }
}

fn without_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    ["postgresql", "postgres"].iter().any(|name| scheme.eq_ignore_ascii_case(name)).then_some(rest)
}

/// Makes a URL from unescaped values, or an error that names the wrong part.
pub(in crate::config) fn of_parts(values: Vec<(&str, String)>) -> Result<SecretString, String> {
    let mut parameters = Parameters::default();
    for (name, value) in values {
        parameters.set(name, value)?;
    }
    let url = parameters.url();
    parameters.target()?;
    Ok(url)
}

/// Returns a connection string with its password replaced; `None` if it can't be parsed.
pub(in crate::config) fn without_password(text: &str, hidden: &str) -> Option<String> {
    let mut parameters = Parameters::default();
    parameters.read(text).ok()?;
    Some(parameters.write(|_| hidden.to_owned()))
}

/// Splits user and password from the rest of a URL, at the last `@` before the first `/`. A password with an unescaped
/// `/` is handled as well: no part of it may be taken for a host, a port or a database, and be shown.
fn split_user_info(rest: &str) -> (Option<&str>, &str) {
    let split_in = |end: usize| rest[..end].rfind('@').map(|at| (Some(&rest[..at]), &rest[at + 1..]));
    let host_end = rest.find('/').unwrap_or(rest.len());
    if let Some(found) = split_in(host_end) {
        return found;
    }
    let query = rest.find('?').unwrap_or(rest.len());
    // Without a host, the `@` belongs to the name of a database that is reached by a socket.
    if host_end > 0 && host_end < query { split_in(query).unwrap_or((None, rest)) } else { (None, rest) }
}

fn split_port(host: &str) -> Result<(&str, &str), String> {
    if let Some(rest) = host.strip_prefix('[') {
        let (name, rest) = rest.split_once(']').ok_or("its host has a [ without a ]")?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((name, port)),
            None if rest.is_empty() => Ok((name, "")),
            None => Err("its host has something between ] and the port".to_owned()),
        };
    }
    let (name, port) = host.split_once(':').unwrap_or((host, ""));
    if port.contains(':') {
        return Err("an IPv6 address in it is written in brackets, like [::1]".to_owned());
    }
    Ok((name, port))
}

fn take_value(text: &str) -> Result<(String, &str), String> {
    let quoted = text.strip_prefix('\'');
    let body = quoted.unwrap_or(text);
    let mut value = String::new();
    let mut characters = body.char_indices();
    while let Some((index, c)) = characters.next() {
        match c {
            '\\' => value.extend(characters.next().map(|(_, c)| c)),
            '\'' if quoted.is_some() => return Ok((value, &body[index + 1..])),
            c if quoted.is_none() && c.is_whitespace() => return Ok((value, &body[index..])),
            c => value.push(c),
        }
    }
    if quoted.is_some() { Err("a quoted value of it has no end".to_owned()) } else { Ok((value, "")) }
}

/// Decodes percent escapes; `what` names the part in errors.
fn decode(text: &str, what: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let hex = |digit: &u8| char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (Some(high), Some(low)) = (after.first().and_then(hex), after.get(1).and_then(hex)) else {
            return Err(format!(
                "a % in its {what} is not followed by two hex digits (% itself is written %25)"
            ));
        };
        bytes.push(high << 4 | low);
        rest = after.get(2..).unwrap_or_default();
    }
    String::from_utf8(bytes).map_err(|_| format!("its {what} is not UTF-8"))
}

fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String can't fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
