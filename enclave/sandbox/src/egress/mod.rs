//! The one way out: HTTP and HTTPS to hosts that the agent's manifest names.
//!
//! For the first URL and for every redirect alike: the manifest must allow its scheme, host and port;
//! the host is resolved once; an address that is not public refuses the fetch; the connection goes to
//! the very address that was checked, so that a name which changes its address between the check and
//! the connection gains nothing. Loopback is open only where the dev preset names the host and port.

mod address;
mod exchange;
mod resolve;

pub use address::refusal;
pub use resolve::{Resolve, SystemResolver};

use crate::host::{
	text_of, FetchAllowance, FetchCall, FetchReply, HostError, RedirectMode, RefusalKind,
};
use crate::limits::{REDIRECTS_MAX, RESOLVE_TIMEOUT, URL_BYTES_MAX};
use bytes::Bytes;
use exchange::exchange;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use phala_agent_manifest::{EgressRule, Scheme};
use rustls::pki_types::CertificateDer;
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

const USER_AGENT: &str = concat!("phala-agent/", env!("CARGO_PKG_VERSION"));

/// Headers that are the connection's business, not the agent's.
const HEADERS_OF_THE_CONNECTION: [HeaderName; 11] = [
	header::ACCEPT_ENCODING,
	header::CONNECTION,
	header::CONTENT_LENGTH,
	header::EXPECT,
	header::HOST,
	header::PROXY_AUTHORIZATION,
	header::TE,
	header::TRAILER,
	header::TRANSFER_ENCODING,
	header::UPGRADE,
	HeaderName::from_static("keep-alive"),
];

/// Headers that belong to the origin they were sent to: a redirect elsewhere does not take them along.
const HEADERS_OF_THE_ORIGIN: [HeaderName; 2] = [header::AUTHORIZATION, header::COOKIE];

#[derive(Default)]
pub struct EgressConfig {
	/// `host:port` as it stands in the URL: may be on loopback. For the dev preset only.
	pub dev_loopback_allowed: Vec<String>,
	/// Certificates trusted besides those of the web. For the dev preset and tests only.
	pub dev_roots: Vec<CertificateDer<'static>>,
}

/// Fetches on behalf of agents. Keeps nothing between fetches.
pub struct EgressClient {
	dev_loopback_allowed: BTreeSet<String>,
	resolver: Box<dyn Resolve>,
	tls: Arc<rustls::ClientConfig>,
}

/// Where one exchange goes to.
pub(crate) struct Hop {
	scheme: Scheme,
	/// In lower case; an IPv6 address in brackets.
	host: String,
	port: u16,
}

impl fmt::Display for Hop {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
	}
}

impl EgressClient {
	pub fn new(config: EgressConfig) -> Result<Self, rustls::Error> {
		Self::with_resolver(config, SystemResolver)
	}

	pub fn with_resolver(
		config: EgressConfig,
		resolver: impl Resolve + 'static,
	) -> Result<Self, rustls::Error> {
		let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
		for root in config.dev_roots {
			roots.add(root)?;
		}
		let provider = Arc::new(rustls::crypto::ring::default_provider());
		let tls = rustls::ClientConfig::builder_with_provider(provider)
			.with_safe_default_protocol_versions()?
			.with_root_certificates(roots)
			.with_no_client_auth();
		Ok(Self {
			dev_loopback_allowed: config.dev_loopback_allowed.into_iter().collect(),
			resolver: Box::new(resolver),
			tls: Arc::new(tls),
		})
	}

	/// Fetches under `rules`, the egress of the agent's manifest, as far as `allowance` goes.
	pub async fn fetch(
		&self,
		rules: &[EgressRule],
		call: FetchCall,
		allowance: &FetchAllowance,
	) -> Result<FetchReply, HostError> {
		let timeout = Duration::from_millis(call.timeout_ms);
		tokio::time::timeout(timeout, self.follow(rules, call, allowance)).await.unwrap_or_else(
			|_elapsed| {
				Err(HostError::new(
					RefusalKind::Timeout,
					format!("the fetch took longer than {} ms", timeout.as_millis()),
				))
			},
		)
	}

	async fn follow(
		&self,
		rules: &[EgressRule],
		call: FetchCall,
		allowance: &FetchAllowance,
	) -> Result<FetchReply, HostError> {
		let invalid = |message: &str| HostError::new(RefusalKind::Invalid, message);
		if call.url.len() > URL_BYTES_MAX {
			return Err(invalid("the URL is longer than 8 KiB"));
		}
		let mut url =
			Url::parse(&call.url).map_err(|_| invalid("not a URL: expected https://host/path"))?;
		let mut method = Method::from_bytes(call.method.as_bytes())
			.map_err(|_| invalid("the method is not one of HTTP"))?;
		if matches!(method, Method::CONNECT | Method::TRACE) {
			return Err(invalid("the methods CONNECT and TRACE are not allowed"));
		}
		let mut headers = outgoing_headers(&call.headers)?;
		let mut body = Bytes::from(call.body.unwrap_or_default());
		let mut plain_http = Vec::new();

		for redirects in 0..=REDIRECTS_MAX {
			let hop = allowed_hop(rules, &url)?;
			let addresses = self.checked_addresses(&hop, &url).await?;
			if hop.scheme == Scheme::Http {
				plain_http.push(format!("{}:{}", hop.host, hop.port));
			}
			let request = to_request(&url, &method, &headers, body.clone())?;
			let answer = exchange(&hop, &addresses, &self.tls, request, allowance).await?;
			let target = match (redirect_target(&url, &answer.head), call.redirect) {
				(Some(_), RedirectMode::Error) => {
					return Err(HostError::new(
						RefusalKind::Network,
						format!("{hop} redirects, which the agent refuses"),
					))
				}
				(Some(target), RedirectMode::Follow) => target?,
				_ => {
					url.set_fragment(None);
					return Ok(FetchReply {
						status: answer.head.status.as_u16(),
						url: url.into(),
						redirected: redirects > 0,
						headers: incoming_headers(&answer.head.headers),
						body: answer.body,
						plain_http,
					});
				}
			};
			let status = answer.head.status;
			if becomes_get(status, &method) {
				method = Method::GET;
				body = Bytes::new();
				headers.remove(header::CONTENT_TYPE);
			}
			if target.origin() != url.origin() {
				for name in HEADERS_OF_THE_ORIGIN {
					headers.remove(name);
				}
			}
			url = target;
		}
		Err(HostError::new(RefusalKind::Network, format!("more than {REDIRECTS_MAX} redirects")))
	}

	/// The addresses of `hop`, none of which an agent may not connect to.
	async fn checked_addresses(&self, hop: &Hop, url: &Url) -> Result<Vec<IpAddr>, HostError> {
		let addresses = match url.host() {
			Some(url::Host::Ipv4(address)) => vec![address.into()],
			Some(url::Host::Ipv6(address)) => vec![address.into()],
			_ => tokio::time::timeout(RESOLVE_TIMEOUT, self.resolver.resolve(&hop.host))
				.await
				.map_err(|_| {
					HostError::new(
						RefusalKind::Timeout,
						format!("{hop}: resolving the name took too long"),
					)
				})?
				.map_err(|_| {
					HostError::new(
						RefusalKind::Network,
						format!("{hop}: the name cannot be resolved"),
					)
				})?,
		};
		let loopback_allowed =
			self.dev_loopback_allowed.contains(&format!("{}:{}", hop.host, hop.port));
		for address in &addresses {
			match refusal(*address) {
				Some(_) if loopback_allowed && address.is_loopback() => {}
				// The address stays out of the message: what a name resolves to inside the enclave's
				// network is not the agent's to know.
				Some(reason) => {
					let message = format!("{hop}: its address is not public: {reason}");
					return Err(HostError::new(RefusalKind::AddressRefused, message));
				}
				None => {}
			}
		}
		Ok(addresses)
	}
}

/// The hop that `url` names, if `rules` allow it.
fn allowed_hop(rules: &[EgressRule], url: &Url) -> Result<Hop, HostError> {
	let invalid = |message: &str| HostError::new(RefusalKind::Invalid, message);
	let scheme = match url.scheme() {
		"http" => Scheme::Http,
		"https" => Scheme::Https,
		_ => return Err(invalid("the URL's scheme is neither https nor http")),
	};
	if !url.username().is_empty() || url.password().is_some() {
		return Err(invalid("the URL has a user name or password; send an Authorization header"));
	}
	let host = url.host_str().ok_or_else(|| invalid("the URL has no host"))?.to_owned();
	let hop = Hop { scheme, host, port: url.port().unwrap_or(scheme.default_port()) };
	if rules.iter().any(|rule| rule.allows(hop.scheme, &hop.host, hop.port)) {
		Ok(hop)
	} else {
		let message =
			format!("the manifest does not allow {hop}; add it to `egress` in agent.toml");
		Err(HostError::new(RefusalKind::NotDeclared, message))
	}
}

fn outgoing_headers(headers: &[(String, String)]) -> Result<HeaderMap, HostError> {
	let invalid = |message: &str| HostError::new(RefusalKind::Invalid, message);
	let mut map = HeaderMap::new();
	for (name, value) in headers {
		let name = HeaderName::from_bytes(name.as_bytes())
			.map_err(|_| invalid("a header's name is not one of HTTP"))?;
		let value = HeaderValue::from_str(value)
			.map_err(|_| invalid("a header's value has a character that is not visible ASCII"))?;
		if !HEADERS_OF_THE_CONNECTION.contains(&name) {
			map.try_append(name, value).map_err(|_| invalid("too many headers"))?;
		}
	}
	map.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(USER_AGENT));
	map.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
	Ok(map)
}

fn to_request(
	url: &Url,
	method: &Method,
	headers: &HeaderMap,
	body: Bytes,
) -> Result<Request<Full<Bytes>>, HostError> {
	let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
	let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
	let mut request = Request::builder().method(method).uri(path).header(header::HOST, host);
	if let Some(map) = request.headers_mut() {
		map.extend(headers.clone());
	}
	request
		.body(Full::new(body))
		.map_err(|_| HostError::new(RefusalKind::Invalid, "the URL cannot be sent over HTTP"))
}

fn incoming_headers(headers: &HeaderMap) -> Vec<(String, String)> {
	let text = |value: &HeaderValue| text_of(value.as_bytes());
	headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

/// Where an answer redirects to, if it does.
fn redirect_target(from: &Url, head: &http::response::Parts) -> Option<Result<Url, HostError>> {
	if !matches!(head.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
		return None;
	}
	let location = head.headers.get(header::LOCATION)?;
	let target = location.to_str().ok().and_then(|location| from.join(location).ok());
	Some(target.ok_or_else(|| {
		HostError::new(RefusalKind::Network, "the answer redirects to something that is no URL")
	}))
}

/// As browsers do (Fetch Standard, HTTP-redirect fetch).
fn becomes_get(status: StatusCode, method: &Method) -> bool {
	match status.as_u16() {
		301 | 302 => *method == Method::POST,
		303 => *method != Method::HEAD,
		_ => false,
	}
}
