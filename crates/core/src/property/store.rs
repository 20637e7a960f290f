//! The explicit values of some properties.
//!
//! Invariant: every value was accepted by its property's type; a missing value is the default.

use super::{Property, PropertyError, PropertyValue};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// The explicit values, by property. Empty stores allocate nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Store {
    values: BTreeMap<Property, PropertyValue>,
}

impl Store {
    pub(super) fn set(
        &mut self,
        property: Property,
        value: impl Into<PropertyValue>,
    ) -> Result<(), PropertyError> {
        let value = property.accept(value)?;
        self.values.insert(property, value);
        Ok(())
    }

    /// Sets a value that its caller's types have made acceptable.
    pub(super) fn set_typed(&mut self, property: Property, value: impl Into<PropertyValue>) {
        let value = value.into();
        debug_assert!(property.value_type().accept(value.clone()).is_some());
        self.values.insert(property, value);
    }

    pub(super) fn unset(&mut self, property: Property) {
        self.values.remove(&property);
    }

    pub(super) fn get(&self, property: Property) -> Option<&PropertyValue> {
        self.values.get(&property)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Property, &PropertyValue)> {
        self.values
            .iter()
            .map(|(property, value)| (*property, value))
    }

    /// A store of its own with the values that `keep` selects.
    pub(super) fn filtered(&self, keep: impl Fn(Property) -> bool) -> Self {
        // A map that is emptied keeps its memory; one that stays empty has none.
        let kept = self.iter().filter(|(property, _)| keep(*property));
        Store {
            values: kept.map(|(p, value)| (p, value.clone())).collect(),
        }
    }
}

/// A map from names to values.
impl Serialize for Store {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.values.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Store {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Named;

        impl<'de> Visitor<'de> for Named {
            type Value = Store;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from property names to values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Store, A::Error> {
                let mut store = Store::default();
                while let Some((property, value)) = map.next_entry::<Property, PropertyValue>()? {
                    store.set(property, value).map_err(A::Error::custom)?;
                }
                Ok(store)
            }
        }

        deserializer.deserialize_map(Named)
    }
}
