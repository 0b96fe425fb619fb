//! Cursors: where a list goes on, authenticated, and bound to tenant, list and filter.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use settla_domain::tenant::TenantNo;
use settla_port::error::PortError;
use sha2::Sha256;

/// Makes and checks cursors.
pub struct Cursors {
    key: [u8; 32],
}

/// What a cursor is good for.
pub struct Binding<'a> {
    /// Whose list.
    pub tenant: TenantNo,
    /// Which list.
    pub list: &'static str,
    /// Its filter, in any unambiguous form.
    pub filter: &'a str,
}

const MAC_BYTES: usize = 16;

impl Cursors {
    /// Cursors under a key, which all gateways of an environment share.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// A cursor for the position `at` (at most 16 bytes).
    pub fn make(&self, binding: &Binding<'_>, at: &[u8]) -> String {
        let mut bytes = at.to_vec();
        bytes.extend_from_slice(&self.mac(binding, at));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The position in a cursor, or `BadCursor`.
    pub fn read<const N: usize>(
        &self,
        binding: &Binding<'_>,
        text: Option<&str>,
    ) -> Result<Option<[u8; N]>, PortError> {
        let Some(text) = text else { return Ok(None) };
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| PortError::BadCursor)?;
        let (at, mac) = bytes.split_at_checked(N).ok_or(PortError::BadCursor)?;
        let good: bool = subtle::ConstantTimeEq::ct_eq(mac, &self.mac(binding, at)[..]).into();
        let at = <[u8; N]>::try_from(at).map_err(|_| PortError::BadCursor)?;
        if good { Ok(Some(at)) } else { Err(PortError::BadCursor) }
    }

    fn mac(&self, binding: &Binding<'_>, at: &[u8]) -> [u8; MAC_BYTES] {
        let mut mac =
            <Hmac<Sha256> as Mac>::new_from_slice(&self.key).unwrap_or_else(|_| unreachable!("HMAC takes any key"));
        mac.update(&binding.tenant.0.to_be_bytes());
        for part in [binding.list.as_bytes(), binding.filter.as_bytes(), at] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let full = mac.finalize().into_bytes();
        let mut short = [0; MAC_BYTES];
        short.copy_from_slice(&full[..MAC_BYTES]);
        short
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_list_alone() {
        let cursors = Cursors::new([7; 32]);
        let binding = |tenant, list, filter| Binding { tenant: TenantNo(tenant), list, filter };
        let cursor = cursors.make(&binding(1, "transfers", "state="), &[9; 16]);
        let read = |c: &Cursors, b: Binding<'_>, text: &str| c.read::<16>(&b, Some(text));
        assert_eq!(read(&cursors, binding(1, "transfers", "state="), &cursor), Ok(Some([9; 16])));
        for other in
            [binding(2, "transfers", "state="), binding(1, "topups", "state="), binding(1, "transfers", "state=FUNDED")]
        {
            assert_eq!(read(&cursors, other, &cursor), Err(PortError::BadCursor));
        }
        assert_eq!(read(&Cursors::new([8; 32]), binding(1, "transfers", "state="), &cursor), Err(PortError::BadCursor));
        for bad in ["", "!", "AAAA", &cursor[..cursor.len() - 2]] {
            assert_eq!(read(&cursors, binding(1, "transfers", "state="), bad), Err(PortError::BadCursor), "{bad}");
        }
    }
}
