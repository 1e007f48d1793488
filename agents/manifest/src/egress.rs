//! Where an agent may connect to.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use thiserror::Error;

const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// A longer name cannot be resolved (RFC 1035).
pub const HOST_BYTES_MAX: usize = 253;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
	Http,
	Https,
}

impl Scheme {
	pub const fn default_port(self) -> u16 {
		match self {
			Self::Http => HTTP_PORT,
			Self::Https => HTTPS_PORT,
		}
	}
}

impl fmt::Display for Scheme {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str(match self {
			Self::Http => "http",
			Self::Https => "https",
		})
	}
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Host {
	Exact(String),
	/// Any name that ends in this, which starts with a dot.
	Below(String),
}

/// One entry of a manifest's `egress`: `api.example.com`, `*.example.com`,
/// `https://api.example.com:8443`, `http://api.example.com`. HTTPS and its port if not said.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EgressRule {
	scheme: Scheme,
	host: Host,
	port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("not an egress rule: {rule:?}: {reason}; write a host as in \"api.example.com\", \"*.example.com\" or \"http://api.example.com:8080\"")]
pub struct EgressRuleError {
	rule: String,
	reason: &'static str,
}

impl EgressRule {
	/// `host` in lower case, as the `url` crate gives it; an IPv6 address in brackets.
	pub fn allows(&self, scheme: Scheme, host: &str, port: u16) -> bool {
		self.scheme == scheme
			&& self.port == port
			&& match &self.host {
				Host::Exact(exact) => exact == host,
				Host::Below(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
			}
	}
}

impl FromStr for EgressRule {
	type Err = EgressRuleError;

	fn from_str(rule: &str) -> Result<Self, Self::Err> {
		let refuse = |reason| EgressRuleError { rule: rule.to_owned(), reason };
		let (scheme, authority) = match rule.split_once("://") {
			None => (Scheme::Https, rule),
			Some(("https", authority)) => (Scheme::Https, authority),
			Some(("http", authority)) => (Scheme::Http, authority),
			Some(_) => return Err(refuse("the scheme is neither http nor https")),
		};
		// The colons of an IPv6 address stand in brackets.
		let port = match authority.rsplit_once(']') {
			Some((_, rest)) => rest.split_once(':'),
			None => authority.rsplit_once(':'),
		};
		let (host, port) = match port {
			None => (authority, scheme.default_port()),
			Some((_, digits)) => (
				authority
					.strip_suffix(digits)
					.and_then(|host| host.strip_suffix(':'))
					.unwrap_or(authority),
				digits
					.parse()
					.ok()
					.filter(|port| *port != 0)
					.ok_or_else(|| refuse("the port is not a number from 1 to 65535"))?,
			),
		};
		let host = host.to_ascii_lowercase();
		if host.len() > HOST_BYTES_MAX {
			return Err(refuse("the host is longer than 253 bytes"));
		}
		let host = match host.strip_prefix("*.") {
			// One label would be a whole top-level domain.
			Some(rest) if !rest.contains('.') => {
				return Err(refuse("the wildcard would cover a top-level domain"))
			}
			Some(rest) => Host::Below(format!(".{}", checked_name(rest).map_err(refuse)?)),
			None if host.starts_with('[') && host.ends_with(']') => Host::Exact(host),
			None => Host::Exact(checked_name(&host).map_err(refuse)?.to_owned()),
		};
		Ok(Self { scheme, host, port })
	}
}

fn checked_name(name: &str) -> Result<&str, &'static str> {
	if name.is_empty() {
		return Err("the host is empty");
	}
	if name.contains('*') {
		return Err("a wildcard stands only at the start, as in *.example.com");
	}
	if name.contains('/') {
		return Err("a rule has no path");
	}
	if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) {
		return Err("the host has a character that no name has (write international names in their xn-- form)");
	}
	Ok(name)
}

impl fmt::Display for EgressRule {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		write!(f, "{}://", self.scheme)?;
		match &self.host {
			Host::Exact(host) => f.write_str(host)?,
			Host::Below(suffix) => write!(f, "*{suffix}")?,
		}
		if self.port != self.scheme.default_port() {
			write!(f, ":{}", self.port)?;
		}
		Ok(())
	}
}

impl TryFrom<String> for EgressRule {
	type Error = EgressRuleError;

	fn try_from(rule: String) -> Result<Self, Self::Error> {
		rule.parse()
	}
}

impl From<EgressRule> for String {
	fn from(rule: EgressRule) -> Self {
		rule.to_string()
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	fn rule(text: &str) -> EgressRule {
		text.parse().unwrap()
	}

	#[test]
	fn a_bare_host_means_https_on_its_port_and_nothing_else() {
		let rule = rule("API.example.com");
		assert!(rule.allows(Scheme::Https, "api.example.com", 443));
		assert!(!rule.allows(Scheme::Http, "api.example.com", 80));
		assert!(!rule.allows(Scheme::Https, "api.example.com", 8443));
		assert!(!rule.allows(Scheme::Https, "example.com", 443));
		assert!(!rule.allows(Scheme::Https, "evil-api.example.com", 443));
	}

	#[test]
	fn a_wildcard_covers_names_below_and_not_the_name_itself_or_its_neighbours() {
		let rule = rule("*.example.com");
		assert!(rule.allows(Scheme::Https, "a.example.com", 443));
		assert!(rule.allows(Scheme::Https, "a.b.example.com", 443));
		assert!(!rule.allows(Scheme::Https, "example.com", 443));
		assert!(!rule.allows(Scheme::Https, "evilexample.com", 443));
		assert!(!rule.allows(Scheme::Https, ".example.com", 443));
	}

	#[test]
	fn a_rule_reads_back_as_it_was_written() {
		for text in [
			"https://api.example.com",
			"http://127.0.0.1:8080",
			"https://*.example.com:8443",
			"http://[::1]:80",
		] {
			assert_eq!(rule(&rule(text).to_string()), rule(text));
		}
		assert!(rule("http://[::1]:8080").allows(Scheme::Http, "[::1]", 8080));
	}

	#[test]
	fn what_is_no_rule_is_refused_with_its_reason() {
		for (text, reason) in [
			("ftp://example.com", "neither http nor https"),
			("*", "wildcard"),
			("*.com", "top-level domain"),
			("a.*.com", "only at the start"),
			("example.com/path", "no path"),
			("example.com:0", "port"),
			("example.com:99999", "port"),
			("", "empty"),
			("exämple.com", "xn--"),
		] {
			let error = text.parse::<EgressRule>().unwrap_err().to_string();
			assert!(error.contains(reason), "{text}: {error}");
		}
	}
}
