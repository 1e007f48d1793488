//! Which addresses the public internet has, and which it has not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Azure's host agent answers here, on every machine of that cloud, with the machine's own secrets.
const AZURE_HOST_AGENT: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

/// Why an agent may not connect to `address`; none if it is a public unicast address.
///
/// After the IANA special-purpose address registries.
pub fn refusal(address: IpAddr) -> Option<&'static str> {
	match address {
		IpAddr::V4(v4) => refusal_v4(v4),
		IpAddr::V6(v6) => refusal_v6(v6),
	}
}

fn refusal_v4(address: Ipv4Addr) -> Option<&'static str> {
	let [a, b, c, _] = address.octets();
	match (a, b, c) {
		(0, ..) => Some("this network (0.0.0.0/8)"),
		(10, ..) | (172, 16..=31, _) | (192, 168, _) => Some("a private network"),
		(100, 64..=127, _) => Some("carrier-grade NAT (100.64.0.0/10)"),
		(127, ..) => Some("loopback"),
		(169, 254, _) => Some("link-local, where clouds have their metadata"),
		(192, 0, 0) => Some("reserved for protocols (192.0.0.0/24)"),
		(192, 0, 2) | (198, 51, 100) | (203, 0, 113) => Some("for documentation only"),
		(192, 88, 99) => Some("6to4 relays"),
		(198, 18..=19, _) => Some("for benchmarks only"),
		(224..=239, ..) => Some("multicast"),
		(240.., ..) => Some("reserved or broadcast"),
		_ if address == AZURE_HOST_AGENT => Some("a cloud's host agent"),
		_ => None,
	}
}

fn refusal_v6(address: Ipv6Addr) -> Option<&'static str> {
	if address.is_loopback() {
		return Some("loopback");
	}
	let segments = address.segments();
	match segments[0] {
		// Only 2000::/3 is global unicast. Outside it are also the forms that hold an IPv4 address
		// (::ffff:0:0/96, 64:ff9b::/96): they would carry a refused one past the check above.
		0x2000..=0x3fff => match (segments[0], segments[1]) {
			(0x2001, 0x0000..=0x01ff) => Some("reserved for protocols (2001::/23)"),
			(0x2001, 0x0db8) => Some("for documentation only"),
			(0x2002, _) => Some("6to4, which holds an IPv4 address"),
			(0x3fff, 0x0000..=0x0fff) => Some("for documentation only"),
			_ => None,
		},
		0xfc00..=0xfdff => Some("a private network (unique local)"),
		0xfe80..=0xfebf => Some("link-local"),
		0xff00..=0xffff => Some("multicast"),
		0 | 0x64 => Some("unspecified, or an IPv4 address in another form"),
		_ => Some("not a global unicast address"),
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn public_addresses_are_let_through() {
		for address in [
			"1.1.1.1",
			"8.8.8.8",
			"100.63.255.255",
			"100.128.0.0",
			"172.15.0.1",
			"172.32.0.1",
			"192.167.0.1",
			"223.255.255.255",
			"2606:4700::1111",
			"2a00:1450:4001:80b::200e",
		] {
			assert_eq!(refusal(address.parse().unwrap()), None, "{address}");
		}
	}

	#[test]
	fn addresses_that_are_not_public_are_refused() {
		for address in [
			"0.0.0.0",
			"0.1.2.3",
			"10.0.0.1",
			"100.64.0.1",
			"100.100.100.200",
			"100.127.255.255",
			"127.0.0.1",
			"127.9.9.9",
			"169.254.169.254",
			"172.16.0.1",
			"172.31.255.255",
			"192.0.0.192",
			"192.0.2.1",
			"192.168.1.1",
			"198.18.0.1",
			"198.51.100.7",
			"203.0.113.7",
			"224.0.0.1",
			"239.255.255.255",
			"240.0.0.1",
			"255.255.255.255",
			"168.63.129.16",
			"::",
			"::1",
			"::ffff:127.0.0.1",
			"::ffff:8.8.8.8",
			"::127.0.0.1",
			"64:ff9b::7f00:1",
			"64:ff9b:1::1",
			"100::1",
			"2001::1",
			"2001:db8::1",
			"2002:7f00:1::",
			"3fff::1",
			"fc00::1",
			"fd00:ec2::254",
			"fe80::1",
			"ff02::1",
			"5f00::1",
		] {
			assert!(refusal(address.parse().unwrap()).is_some(), "{address}");
		}
	}
}
