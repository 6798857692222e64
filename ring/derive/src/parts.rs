//! What a struct, or a variant of an enum, holds: the same four shapes for both.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::{Fields, Type};

/// The path of everything that generated code names.
pub(crate) fn payload() -> TokenStream {
    quote!(::hog_ring::payload)
}

/// The parts of a struct or variant, in order.
pub(crate) enum Parts<'a> {
    /// None.
    Unit,
    /// One without a name: it stands for the whole.
    Only(&'a Type),
    /// Several without names.
    Tuple(Vec<&'a Type>),
    /// With names.
    Record(Vec<(&'a Ident, &'a Type)>),
}

impl<'a> Parts<'a> {
    pub(crate) fn of(fields: &'a Fields) -> Parts<'a> {
        let types: Vec<&Type> = fields.iter().map(|field| &field.ty).collect();
        let names: Vec<&Ident> = fields.iter().filter_map(|field| field.ident.as_ref()).collect();
        match (types.as_slice(), names.is_empty()) {
            ([], _) => Parts::Unit,
            ([only], true) => Parts::Only(only),
            (_, true) => Parts::Tuple(types),
            (_, false) => Parts::Record(names.into_iter().zip(types).collect()),
        }
    }

    fn types(&self) -> Vec<&'a Type> {
        match self {
            Parts::Unit => Vec::new(),
            Parts::Only(only) => vec![only],
            Parts::Tuple(types) => types.clone(),
            Parts::Record(fields) => fields.iter().map(|(_, ty)| *ty).collect(),
        }
    }

    /// An expression of `usize`: how deep the type of the whole is.
    pub(crate) fn depth(&self) -> TokenStream {
        let payload = payload();
        let types = self.types();
        match self {
            Parts::Unit => quote!(1),
            Parts::Only(only) => quote!(<#only as #payload::Value>::DEPTH),
            Parts::Tuple(_) | Parts::Record(_) => {
                quote!(#payload::depth_above(&[#(<#types as #payload::Value>::DEPTH),*]))
            }
        }
    }

    /// An expression of `Type`: what readers are told of the whole.
    pub(crate) fn described(&self) -> TokenStream {
        let payload = payload();
        match self {
            Parts::Unit => quote!(::hog_ring::types::Type::unit()),
            Parts::Only(only) => quote!(<#only as #payload::Value>::value_type()),
            Parts::Tuple(types) => {
                quote!(::hog_ring::types::Type::tuple([#(<#types as #payload::Value>::value_type()),*]))
            }
            Parts::Record(fields) => {
                let names = fields.iter().map(|(name, _)| name.unraw().to_string());
                let types = fields.iter().map(|(_, ty)| ty);
                quote!(::hog_ring::types::Type::record([#((#names, <#types as #payload::Value>::value_type())),*]))
            }
        }
    }

    /// The name by which code after [`Self::pattern`] has each part.
    fn bound(&self) -> Vec<Ident> {
        (0..self.types().len())
            .map(|place| format_ident!("part{place}"))
            .collect()
    }

    /// What stands behind the name of the struct or variant in a pattern that binds all parts.
    pub(crate) fn pattern(&self) -> TokenStream {
        let bound = self.bound();
        match self {
            Parts::Unit => quote!({}),
            Parts::Only(_) | Parts::Tuple(_) => quote!((#(#bound),*)),
            Parts::Record(fields) => {
                let names = fields.iter().map(|(name, _)| name);
                quote!({ #(#names: #bound),* })
            }
        }
    }

    /// An expression of `usize`: the encoded length of the bound parts.
    pub(crate) fn encoded_len(&self) -> TokenStream {
        let (payload, bound) = (payload(), self.bound());
        quote!(0 #(+ #payload::Value::encoded_len(#bound))*)
    }

    /// Statements that write the bound parts to `out`.
    pub(crate) fn encode(&self) -> TokenStream {
        let (payload, bound) = (payload(), self.bound());
        quote!(#(#payload::Value::encode(#bound, out);)*)
    }
}
