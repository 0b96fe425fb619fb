//! Which tenant sends which transfer.

/// The spread of the load over tenants: evenly, or a share of it from the first of them and the rest from the others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shares {
    tenants: u64,
    /// Per cent of the transfers that the first tenant sends; nothing if all send the same.
    first: Option<u64>,
}

impl Shares {
    /// One tenant alone sends everything, whatever its share.
    pub fn new(tenants: u32, first_percent: Option<u32>) -> Self {
        Self { tenants: tenants.into(), first: first_percent.filter(|_| tenants > 1).map(u64::from) }
    }

    /// The tenant that sends the n-th transfer.
    pub fn tenant_of(&self, n: u64) -> usize {
        let tenant = match self.first {
            None => n % self.tenants,
            Some(share) => {
                // How many the first has sent before this one and with it: each step of it is one of its own.
                let (before, with) = (n * share / 100, (n + 1) * share / 100);
                if with > before { 0 } else { 1 + (n - before) % (self.tenants - 1) }
            }
        };
        tenant as usize
    }

    /// How many of so many transfers a tenant sends, at most.
    pub fn at_most(&self, tenant: u32, total: u64) -> u64 {
        match self.first {
            None => total / self.tenants + 1,
            Some(share) if tenant == 0 => total * share / 100 + 1,
            Some(share) => total * (100 - share) / 100 / (self.tenants - 1) + 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(shares: Shares, tenants: usize, total: u64) -> Vec<u64> {
        let mut counts = vec![0; tenants];
        (0..total).for_each(|n| counts[shares.tenant_of(n)] += 1);
        counts
    }

    #[test]
    fn loads_are_shared_as_told_and_no_tenant_sends_more_than_it_is_funded_for() {
        for (tenants, first, total) in [(50, None, 1_000), (50, Some(80), 1_000), (3, Some(1), 997), (2, Some(99), 250)]
        {
            let shares = Shares::new(tenants, first);
            let counts = counted(shares, tenants as usize, total);
            assert_eq!(counts.iter().sum::<u64>(), total);
            for (tenant, count) in (0..).zip(&counts) {
                assert!(*count > 0 && *count <= shares.at_most(tenant, total), "{tenants} {first:?}: {counts:?}");
            }
            if let Some(share) = first {
                assert_eq!(counts[0], total * u64::from(share) / 100);
            }
        }
        assert_eq!(counted(Shares::new(1, Some(80)), 1, 10), [10]);
    }
}
