//! The way out: what it lets through, and the villains that it stops.

use crate::common::server::{ok, redirect, Seen, Server};
use async_trait::async_trait;
use phala_sandbox::egress::{EgressClient, EgressConfig, Resolve};
use phala_sandbox::limits::{REDIRECTS_MAX, URL_BYTES_MAX};
use phala_sandbox::*;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

fn call(url: &str) -> FetchCall {
	FetchCall {
		method: "GET".to_owned(),
		url: url.to_owned(),
		headers: Vec::new(),
		body: None,
		redirect: RedirectMode::Follow,
		timeout_ms: 60_000,
	}
}

fn allowance() -> FetchAllowance {
	FetchAllowance::new(1_000)
}

fn rules(rules: &[&str]) -> Vec<EgressRule> {
	rules.iter().map(|rule| rule.parse().unwrap()).collect()
}

/// A client of the dev preset that may reach these servers.
fn client(servers: &[&Server]) -> EgressClient {
	let dev_loopback_allowed = servers.iter().map(|server| server.authority()).collect();
	EgressClient::new(EgressConfig { dev_loopback_allowed, ..Default::default() }).unwrap()
}

fn refusal(result: Result<FetchReply, HostError>) -> (RefusalKind, String) {
	match result {
		Err(HostError::Refused { refusal, message }) => (refusal, message),
		Err(HostError::Limit(exceeded)) => panic!("{exceeded}"),
		Ok(reply) => panic!("answered with {}", reply.status),
	}
}

#[tokio::test]
async fn a_fetch_sends_what_the_agent_said_and_not_the_connections_headers() {
	let server = Server::start(|_| ok("fine")).await;
	let mut post = call(&server.url("/path?query=1#fragment"));
	post.method = "POST".to_owned();
	post.body = Some(b"body".to_vec());
	post.headers = [
		("x-own", "1"),
		("host", "evil.example"),
		("transfer-encoding", "chunked"),
		("content-length", "9"),
	]
	.map(|(name, value)| (name.to_owned(), value.to_owned()))
	.into();
	let reply =
		client(&[&server]).fetch(&rules(&[&server.url("")]), post, &allowance()).await.unwrap();
	assert_eq!((reply.status, reply.body.as_slice()), (200, b"fine".as_slice()));
	assert_eq!(reply.url, server.url("/path?query=1"));
	assert_eq!(reply.plain_http, [server.authority()]);

	let Seen { method, path, headers, body } = server.requests().remove(0);
	assert_eq!((method.as_str(), path.as_str(), body.as_str()), ("POST", "/path?query=1", "body"));
	assert_eq!(headers["host"], server.authority());
	assert_eq!(headers["x-own"], "1");
	assert_eq!(headers["content-length"], "4");
	assert!(!headers.contains_key("transfer-encoding"));
}

#[tokio::test]
async fn https_is_checked_against_the_name_and_is_no_unproven_input() {
	let rcgen::CertifiedKey { cert, signing_key } =
		rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
	let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
	let provider = Arc::new(rustls::crypto::ring::default_provider());
	let tls = rustls::ServerConfig::builder_with_provider(provider)
		.with_safe_default_protocol_versions()
		.unwrap()
		.with_no_client_auth()
		.with_single_cert(vec![cert.der().clone()], key)
		.unwrap();
	let server = Server::start_with(|_| ok("sealed"), Some(Arc::new(tls).into())).await;
	let port = server.address.port();
	let fetch = |host: &'static str, dev_roots| async move {
		let authority = format!("{host}:{port}");
		let config = EgressConfig { dev_loopback_allowed: vec![authority.clone()], dev_roots };
		let rules = rules(&[&authority]);
		EgressClient::new(config)
			.unwrap()
			.fetch(&rules, call(&format!("https://{authority}/")), &allowance())
			.await
	};
	let root = cert.der().clone();
	let reply = fetch("localhost", vec![root.clone()]).await.unwrap();
	assert_eq!(reply.body, b"sealed");
	assert!(reply.plain_http.is_empty());

	assert_eq!(
		refusal(fetch("localhost", vec![]).await).0,
		RefusalKind::Network,
		"nobody vouches for it"
	);
	assert_eq!(
		refusal(fetch("127.0.0.1", vec![root]).await).0,
		RefusalKind::Network,
		"another name"
	);
}

#[tokio::test]
async fn every_spelling_of_a_private_address_is_refused() {
	let client = client(&[]);
	for host in [
		"127.0.0.1",
		"127.1",
		"0x7f.0.0.1",
		"2130706433",
		"017700000001",
		"0",
		"10.1.2.3",
		"169.254.169.254",
		"[::1]",
		"[::ffff:127.0.0.1]",
		"[::ffff:7f00:1]",
		"[64:ff9b::10.0.0.1]",
		"[fd00:ec2::254]",
		"[fe80::1]",
	] {
		let url = url::Url::parse(&format!("http://{host}/")).unwrap();
		let rules = rules(&[&format!("http://{}", url.host_str().unwrap())]);
		let (refused, message) =
			refusal(client.fetch(&rules, call(url.as_str()), &allowance()).await);
		assert_eq!(refused, RefusalKind::AddressRefused, "{host}: {message}");
	}
}

/// A name server of the attacker's: another answer each time it is asked.
struct Rebinder {
	answers: Vec<Vec<IpAddr>>,
	asked: Arc<AtomicUsize>,
}

#[async_trait]
impl Resolve for Rebinder {
	async fn resolve(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
		let asked = self.asked.fetch_add(1, Ordering::SeqCst);
		Ok(self.answers[asked % self.answers.len()].clone())
	}
}

fn rebound(answers: &[&[&str]], allowed: Vec<String>) -> (EgressClient, Arc<AtomicUsize>) {
	let asked = Arc::<AtomicUsize>::default();
	let answers = answers
		.iter()
		.map(|answer| answer.iter().map(|ip| ip.parse().unwrap()).collect())
		.collect();
	let config = EgressConfig { dev_loopback_allowed: allowed, ..Default::default() };
	(
		EgressClient::with_resolver(config, Rebinder { answers, asked: asked.clone() }).unwrap(),
		asked,
	)
}

#[tokio::test]
async fn a_public_name_with_a_private_address_is_refused() {
	for answer in
		[&["127.0.0.1"][..], &["10.0.0.1"], &["1.1.1.1", "192.168.0.1"], &["::ffff:10.0.0.1"]]
	{
		let (client, _) = rebound(&[answer], vec![]);
		let (refused, message) = refusal(
			client
				.fetch(&rules(&["http://evil.example"]), call("http://evil.example/"), &allowance())
				.await,
		);
		assert_eq!(refused, RefusalKind::AddressRefused, "{answer:?}");
		assert!(!message.contains(answer[0]), "the address is not the agent's to know: {message}");
	}
}

#[tokio::test]
async fn a_name_is_resolved_once_for_the_check_and_the_connection() {
	let server = Server::start(|_| ok("fine")).await;
	let authority = format!("name.test:{}", server.address.port());
	// Asked twice, it would lead elsewhere.
	let (client, asked) = rebound(&[&["127.0.0.1"], &["10.0.0.1"]], vec![authority.clone()]);
	let url = format!("http://{authority}");
	let reply = client.fetch(&rules(&[&url]), call(&url), &allowance()).await.unwrap();
	assert_eq!(reply.body, b"fine");
	assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_dev_preset_opens_loopback_and_no_other_private_network() {
	let (client, _) = rebound(&[&["10.0.0.1"]], vec!["name.test:80".to_owned()]);
	let result =
		client.fetch(&rules(&["http://name.test"]), call("http://name.test/"), &allowance()).await;
	assert_eq!(refusal(result).0, RefusalKind::AddressRefused);
}

#[tokio::test]
async fn a_redirect_to_another_origin_takes_no_credentials_along() {
	let thief = Server::start(|_| ok("thanks")).await;
	let to = thief.url("/take");
	let honest = Server::start(move |_| redirect(307, &to)).await;
	let mut post = call(&honest.url("/"));
	post.method = "POST".to_owned();
	post.headers =
		vec![("authorization".into(), "Bearer secret".into()), ("cookie".into(), "a=b".into())];
	let allowed = rules(&[&honest.url(""), &thief.url("")]);
	let reply = client(&[&honest, &thief]).fetch(&allowed, post, &allowance()).await.unwrap();
	assert!(reply.redirected);
	assert_eq!(reply.plain_http.len(), 2);
	assert_eq!(honest.requests()[0].headers["authorization"], "Bearer secret");
	let seen = &thief.requests()[0];
	assert_eq!(seen.method, "POST");
	assert!(!seen.headers.contains_key("authorization") && !seen.headers.contains_key("cookie"));
}

#[tokio::test]
async fn a_redirected_post_becomes_a_get_as_in_browsers() {
	let server =
		Server::start(|seen| if seen.path == "/" { redirect(303, "/after") } else { ok("fine") })
			.await;
	let mut post = call(&server.url("/"));
	post.method = "POST".to_owned();
	post.body = Some(b"body".to_vec());
	client(&[&server]).fetch(&rules(&[&server.url("")]), post, &allowance()).await.unwrap();
	let after = &server.requests()[1];
	assert_eq!(
		(after.method.as_str(), after.path.as_str(), after.body.as_str()),
		("GET", "/after", "")
	);
}

#[tokio::test]
async fn redirects_end() {
	let server = Server::start(|seen| {
		let n: u32 = seen.path[1..].parse().unwrap();
		if n == 0 {
			ok("there")
		} else {
			redirect(302, &format!("/{}", n - 1))
		}
	})
	.await;
	let (client, rules) = (client(&[&server]), rules(&[&server.url("")]));
	assert!(client
		.fetch(&rules, call(&server.url(&format!("/{REDIRECTS_MAX}"))), &allowance())
		.await
		.is_ok());
	let (refused, message) = refusal(
		client
			.fetch(&rules, call(&server.url(&format!("/{}", REDIRECTS_MAX + 1))), &allowance())
			.await,
	);
	assert_eq!(refused, RefusalKind::Network);
	assert!(message.contains("redirects"), "{message}");

	let mut manual = call(&server.url("/3"));
	manual.redirect = RedirectMode::Manual;
	assert_eq!(client.fetch(&rules, manual, &allowance()).await.unwrap().status, 302);
	let mut none = call(&server.url("/3"));
	none.redirect = RedirectMode::Error;
	assert_eq!(refusal(client.fetch(&rules, none, &allowance()).await).0, RefusalKind::Network);
}

#[tokio::test]
async fn answers_hold_at_their_common_limit_and_not_one_past_it() {
	let server = Server::start(|seen| ok(&"x".repeat(seen.path[1..].parse().unwrap()))).await;
	let (client, rules) = (client(&[&server]), rules(&[&server.url("")]));
	let headers = ["content-length", "1000", "connection", "close"].concat().len() as u64;
	let allowance = FetchAllowance::new(1_000 + headers);
	let fetched = client.fetch(&rules, call(&server.url("/1000")), &allowance).await;
	assert_eq!(fetched.unwrap().body.len(), 1_000);
	let over = LimitExceededError { limit: Limit::FetchedBytes, allowed: 1_000 + headers };
	// Of the same run, and one longer.
	let result = client.fetch(&rules, call(&server.url("/0")), &allowance).await;
	assert_eq!(result.err(), Some(HostError::Limit(over)));
	let allowance = FetchAllowance::new(1_000 + headers);
	let result = client.fetch(&rules, call(&server.url("/1001")), &allowance).await;
	assert_eq!(result.err(), Some(HostError::Limit(over)));
}

#[tokio::test]
async fn what_a_redirect_says_counts_too() {
	let server = Server::start(|seen| {
		let (status, location) =
			if seen.path == "/" { (302, "location: /after\r\n") } else { (200, "") };
		let body = "x".repeat(600);
		format!(
			"HTTP/1.1 {status} X\r\n{location}content-length: 600\r\nconnection: close\r\n\r\n{body}"
		)
		.into_bytes()
	})
	.await;
	let (client, rules) = (client(&[&server]), rules(&[&server.url("")]));
	assert!(client.fetch(&rules, call(&server.url("/after")), &allowance()).await.is_ok());
	let result = client.fetch(&rules, call(&server.url("/")), &allowance()).await;
	assert!(matches!(result, Err(HostError::Limit(_))));
}

#[tokio::test]
async fn a_server_that_never_answers_ends_with_the_timeout() {
	let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
	let authority = silent.local_addr().unwrap().to_string();
	let config =
		EgressConfig { dev_loopback_allowed: vec![authority.clone()], ..Default::default() };
	let url = format!("http://{authority}");
	let mut waiting = call(&url);
	waiting.timeout_ms = 50;
	let result =
		EgressClient::new(config).unwrap().fetch(&rules(&[&url]), waiting, &allowance()).await;
	assert_eq!(refusal(result).0, RefusalKind::Timeout);
}

#[tokio::test]
async fn what_is_no_fetch_is_refused_with_its_reason() {
	let client = client(&[]);
	let rules = rules(&["example.com"]);
	let long = format!("https://example.com/{}", "x".repeat(URL_BYTES_MAX));
	for (url, refused) in [
		("not a url", RefusalKind::Invalid),
		("ftp://example.com/", RefusalKind::Invalid),
		("file:///etc/passwd", RefusalKind::Invalid),
		("https://user:password@example.com/", RefusalKind::Invalid),
		(&long, RefusalKind::Invalid),
		("http://example.com/", RefusalKind::NotDeclared),
		("https://example.com:444/", RefusalKind::NotDeclared),
		("https://example.com.evil.org/", RefusalKind::NotDeclared),
	] {
		assert_eq!(
			refusal(client.fetch(&rules, call(url), &allowance()).await).0,
			refused,
			"{url}"
		);
	}
	let mut connect = call("https://example.com/");
	connect.method = "CONNECT".to_owned();
	assert_eq!(refusal(client.fetch(&rules, connect, &allowance()).await).0, RefusalKind::Invalid);
	let mut smuggler = call("https://example.com/");
	smuggler.headers = vec![("x".into(), "1\r\nhost: evil".into())];
	assert_eq!(refusal(client.fetch(&rules, smuggler, &allowance()).await).0, RefusalKind::Invalid);
}
