//! A compile-time check that a type does NOT implement a trait: the build of the tests breaks when it does.

/// Two blanket implementations make the call ambiguous exactly when the type has the trait.
macro_rules! assert_not_impl {
    ($type:ty, $trait:path) => {
        const _: fn() = || {
            trait AmbiguousIfImplemented<Marker> {
                fn some_item() {}
            }
            impl<T: ?Sized> AmbiguousIfImplemented<()> for T {}
            struct Implemented;
            impl<T: ?Sized + $trait> AmbiguousIfImplemented<Implemented> for T {}
            let _ = <$type as AmbiguousIfImplemented<_>>::some_item;
        };
    };
}

pub(crate) use assert_not_impl;
