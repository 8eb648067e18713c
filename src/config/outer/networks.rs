//! Lists of IP addresses and networks in CIDR notation.

use std::net::IpAddr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    /// Number of leading bits that are compared.
    bits: u8,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) if !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit()) => {
                (address, Some(bits.parse().ok()?))
            }
            Some(_) => return None,
            None => (text, None),
        };
        let address: IpAddr = address.trim_matches(['[', ']']).parse().ok()?;
        let canonical = address.to_canonical();
        let longest = width(address);
        let bits: u8 = bits.unwrap_or(longest);
        // An IPv4-mapped network: ::ffff:10.0.0.0/104 is 10.0.0.0/8.
        let bits = if canonical == address { Some(bits) } else { bits.checked_sub(96) };
        let bits = bits.filter(|bits| *bits <= width(canonical))?;
        Some(Self { address: canonical, bits })
    }

    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// List of networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

impl Networks {
    /// Parses a comma-separated list. The error has the numbers of the invalid entries, from 1.
    pub fn parse(text: &str) -> Result<Self, Vec<usize>> {
        let entries = text.split(',').map(str::trim).enumerate().filter(|(_, entry)| !entry.is_empty());
        let (mut networks, mut bad) = (Vec::new(), Vec::new());
        for (number, entry) in entries {
            match Network::parse(entry) {
                Some(network) => networks.push(network),
                None => bad.push(number + 1),
            }
        }
        if bad.is_empty() { Ok(Self(networks)) } else { Err(bad) }
    }

    /// Tells whether a network contains the address, which must be canonical: IPv4 addresses written as IPv6 are IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_belongs_to_its_networks_and_no_other() {
        let networks =
            Networks::parse("127.0.0.1, 10.1.2.3/8,,[::1], fd00::/8 ,::ffff:192.0.2.0/120").unwrap();
        let contains = |text: &str| networks.contains(text.parse::<IpAddr>().unwrap().to_canonical());
        for text in ["127.0.0.1", "10.255.0.1", "::1", "fdff::7", "::ffff:10.0.0.1", "192.0.2.9"] {
            assert!(contains(text), "{text}");
        }
        for text in ["127.0.0.2", "11.0.0.1", "::2", "fe80::1", "192.0.3.1"] {
            assert!(!contains(text), "{text}");
        }
        assert!(Networks::parse("0.0.0.0/0").unwrap().contains(IpAddr::from([8, 8, 8, 8])));
        assert!(!Networks::parse("0.0.0.0/0").unwrap().contains("::1".parse().unwrap()));
        assert_eq!(Networks::parse(" , "), Ok(Networks::default()));
    }

    #[test]
    fn an_invalid_network_is_reported_by_its_number() {
        assert_eq!(
            Networks::parse("127.0.0.1,localhost,10.0.0.0/33,::/129,10.0.0.0/,a/8,1.2.3"),
            Err((2..=7).collect())
        );
        assert_eq!(Networks::parse("10.0.0.0/+8,10.0.0.0/8/8,::ffff:1.2.3.4/90"), Err(vec![1, 2, 3]));
    }
}
