//! Which addresses a request may reach: a URL that a person or a model supplied must not make us talk to our own
//! machine or network.
//!
//! The check happens where it cannot be got round: on the addresses that are then connected to. A name is
//! resolved once, every address it has is checked, and the connection goes to exactly those; a redirect is a new
//! request and is checked alike. Literal addresses are refused before that, in whatever notation the URL has them
//! (`0x7f.1`, `2130706433` and `[::ffff:127.0.0.1]` are all 127.0.0.1 once a URL is parsed).

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

/// Which addresses may be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum AddressRule {
    /// All: for addresses from our own configuration.
    #[default]
    Any,
    /// Public ones only: for URLs that a person, a page or a model supplied.
    Public,
    /// Public ones, and these.
    PublicAnd(
        /// Sockets allowed besides.
        Arc<[SocketAddr]>,
    ),
}

impl AddressRule {
    /// Whether this socket may be reached, and if not, what it is.
    ///
    /// # Errors
    /// The kind of address.
    pub fn check(&self, socket: SocketAddr) -> Result<(), AddressKind> {
        let allowed = match self {
            Self::Any => return Ok(()),
            Self::Public => &[][..],
            Self::PublicAnd(sockets) => sockets,
        };
        match kind(socket.ip()) {
            AddressKind::Public => Ok(()),
            _ if allowed.contains(&socket) => Ok(()),
            other => Err(other),
        }
    }
}

/// What an address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressKind {
    /// Reached over the internet.
    Public,
    /// This machine.
    Loopback,
    /// A private network (RFC 1918, unique local).
    Private,
    /// The local link, cloud metadata services among it.
    LinkLocal,
    /// A provider's network behind address translation (RFC 6598).
    CarrierGrade,
    /// Nobody's: unspecified, multicast, broadcast, documentation, benchmarks, reserved.
    Special,
}

impl fmt::Display for AddressKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Public => "public",
            Self::Loopback => "this machine",
            Self::Private => "a private network",
            Self::LinkLocal => "the local link",
            Self::CarrierGrade => "a carrier's network",
            Self::Special => "reserved",
        })
    }
}

/// What an address is for, by the IANA special-purpose registries. An IPv6 address that stands for an IPv4 one
/// is what that is.
pub fn kind(address: IpAddr) -> AddressKind {
    match address {
        IpAddr::V4(v4) => kind_v4(v4),
        IpAddr::V6(v6) => embedded(v6).map_or_else(|| kind_v6(v6), kind_v4),
    }
}

fn kind_v4(address: Ipv4Addr) -> AddressKind {
    match address.octets() {
        [127, ..] => AddressKind::Loopback,
        [10, ..] | [192, 168, ..] => AddressKind::Private,
        [172, b, ..] if b & 0xf0 == 16 => AddressKind::Private,
        [169, 254, ..] => AddressKind::LinkLocal,
        [100, b, ..] if b & 0xc0 == 64 => AddressKind::CarrierGrade,
        // "This network", protocol assignments, documentation, 6to4 relays, benchmarks, multicast and beyond.
        [0 | 224.., ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => AddressKind::Special,
        _ => AddressKind::Public,
    }
}

fn kind_v6(address: Ipv6Addr) -> AddressKind {
    if address == Ipv6Addr::LOCALHOST {
        return AddressKind::Loopback;
    }
    match address.segments() {
        [s, ..] if s & 0xfe00 == 0xfc00 => AddressKind::Private,
        // Site-local is deprecated and still routed inside some networks.
        [s, ..] if s & 0xffc0 == 0xfec0 => AddressKind::Private,
        [s, ..] if s & 0xffc0 == 0xfe80 => AddressKind::LinkLocal,
        // Protocol assignments (Teredo among them) and documentation; the rest of 2000::/3 is global unicast.
        [0x2001, b, ..] if b < 0x0200 || b == 0x0db8 => AddressKind::Special,
        [0x3fff, b, ..] if b < 0x1000 => AddressKind::Special,
        [s, ..] if s & 0xe000 == 0x2000 => AddressKind::Public,
        _ => AddressKind::Special,
    }
}

/// The IPv4 address inside a mapped, compatible, translated (NAT64) or 6to4 address.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => Some(v4(high, low)),
        [0, 0, 0, 0, 0xffff, 0, high, low] => Some(v4(high, low)),
        [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => Some(v4(high, low)),
        [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(text: &str) -> AddressKind {
        kind(text.parse().unwrap())
    }

    #[test]
    fn addresses_are_what_the_registries_say() {
        use AddressKind::*;
        for (text, expected) in [
            ("8.8.8.8", Public),
            ("100.63.255.255", Public),
            ("100.64.0.1", CarrierGrade),
            ("100.127.255.255", CarrierGrade),
            ("100.128.0.1", Public),
            ("127.0.0.1", Loopback),
            ("127.255.255.254", Loopback),
            ("10.1.2.3", Private),
            ("172.15.0.1", Public),
            ("172.16.0.1", Private),
            ("172.31.255.255", Private),
            ("172.32.0.1", Public),
            ("192.168.0.1", Private),
            ("169.254.169.254", LinkLocal),
            ("0.0.0.0", Special),
            ("192.0.0.8", Special),
            ("192.0.1.1", Public),
            ("198.18.0.1", Special),
            ("224.0.0.1", Special),
            ("255.255.255.255", Special),
            ("::", Special),
            ("::1", Loopback),
            ("::ffff:127.0.0.1", Loopback),
            ("::ffff:10.0.0.1", Private),
            ("::ffff:8.8.8.8", Public),
            ("::127.0.0.1", Loopback),
            ("::ffff:0:169.254.169.254", LinkLocal),
            ("64:ff9b::7f00:1", Loopback),
            ("64:ff9b::808:808", Public),
            ("64:ff9b:1::1", Special),
            ("2002:7f00:1::", Loopback),
            ("2002:808:808::", Public),
            ("2001::1", Special),
            ("2001:db8::1", Special),
            ("2606:4700:4700::1111", Public),
            ("3fff::1", Special),
            ("fc00::1", Private),
            ("fdff::1", Private),
            ("fe80::1", LinkLocal),
            ("fec0::1", Private),
            ("ff02::1", Special),
            ("5f00::1", Special),
        ] {
            assert_eq!(kind_of(text), expected, "{text}");
        }
    }

    #[test]
    fn an_exception_is_one_socket() {
        let socket: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let rule = AddressRule::PublicAnd([socket].into());
        assert_eq!(rule.check(socket), Ok(()));
        assert_eq!(rule.check("127.0.0.1:8081".parse().unwrap()), Err(AddressKind::Loopback));
        assert_eq!(rule.check("1.1.1.1:80".parse().unwrap()), Ok(()));
        assert_eq!(AddressRule::Public.check(socket), Err(AddressKind::Loopback));
        assert_eq!(AddressRule::Any.check(socket), Ok(()));
    }

    #[test]
    fn a_parsed_url_has_no_other_notation() {
        for text in ["http://0x7f.1/", "http://2130706433/", "http://0177.0.0.1/", "http://[::ffff:7f00:1]/"]
        {
            let url = url::Url::parse(text).unwrap();
            let address: IpAddr = match url.host().unwrap() {
                url::Host::Ipv4(v4) => v4.into(),
                url::Host::Ipv6(v6) => v6.into(),
                url::Host::Domain(name) => panic!("{text} is the name {name}"),
            };
            assert_eq!(kind(address), AddressKind::Loopback, "{text}");
        }
    }
}
