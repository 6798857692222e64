//! The implementation that `#[derive(Value)]` writes for a struct, an enumeration or a variant.

use crate::parts::{Parts, payload};
use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::{Data, DataEnum, DeriveInput, Error, Field, Fields, Generics, Result, Variant, parse_quote};

/// The items of the trait, as code.
struct Items {
    depth: TokenStream,
    described: TokenStream,
    encoded_len: TokenStream,
    encode: TokenStream,
}

/// The implementation of `Value` for `input`.
pub(crate) fn value(input: &DeriveInput) -> Result<TokenStream> {
    let items = match &input.data {
        Data::Struct(data) => of_struct(&data.fields),
        Data::Enum(data) if data.variants.is_empty() => {
            let words = "an enum without variants has no values that could be logged";
            return Err(Error::new(input.ident.span(), words));
        }
        Data::Enum(data) if is_enumeration(data) => of_enumeration(data),
        Data::Enum(data) => of_variant(data),
        Data::Union(data) => {
            let words = "a union cannot be logged: nothing says which of its fields holds. Use an enum";
            return Err(Error::new(data.union_token.span, words));
        }
    };
    refuse_itself(input)?;
    Ok(implementation(input, items))
}

/// Says in words what the compiler finds as a cycle of `DEPTH`: that a type contains itself. Only where it names itself;
/// the way round over other types is left to the compiler.
fn refuse_itself(input: &DeriveInput) -> Result<()> {
    let fields: Vec<&Field> = match &input.data {
        Data::Struct(data) => data.fields.iter().collect(),
        Data::Enum(data) => data.variants.iter().flat_map(|variant| &variant.fields).collect(),
        Data::Union(_) => Vec::new(),
    };
    match fields
        .iter()
        .find_map(|field| mention(field.ty.to_token_stream(), &input.ident))
    {
        Some(place) => {
            let name = &input.ident;
            let words = format!(
                "`{name}` contains itself, so its description would never end: log the inner ones as records of their own"
            );
            Err(Error::new(place, words))
        }
        None => Ok(()),
    }
}

/// Where `tokens` name the type `name`, or `Self`, by that word alone: not as a part of a path.
fn mention(tokens: TokenStream, name: &Ident) -> Option<Span> {
    let mut is_part = false;
    for token in tokens {
        match &token {
            TokenTree::Ident(ident) if !is_part && (ident == name || ident == "Self") => return Some(ident.span()),
            TokenTree::Group(group) => {
                if let Some(place) = mention(group.stream(), name) {
                    return Some(place);
                }
            }
            _ => {}
        }
        is_part = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == ':');
    }
    None
}

fn implementation(input: &DeriveInput, items: Items) -> TokenStream {
    let payload = payload();
    let name = &input.ident;
    let generics = with_bounds(&input.generics);
    let (parameters, arguments, conditions) = generics.split_for_impl();
    let Items {
        depth,
        described,
        encoded_len,
        encode,
    } = items;
    // A depth that nobody asks for is not worked out, and a cycle not found: here it is asked for, by `cargo check` too.
    let is_concrete = generics.type_params().next().is_none() && generics.const_params().next().is_none();
    let ask = is_concrete.then(|| {
        let lifetimes = generics.lifetimes().map(|_| quote!('static));
        quote!(const _: usize = <#name<#(#lifetimes),*> as #payload::Value>::DEPTH;)
    });
    quote! {
        #[automatically_derived]
        impl #parameters #payload::Value for #name #arguments #conditions {
            const DEPTH: usize = #depth;

            fn value_type() -> ::hog_ring::types::Type {
                const { assert!(<Self as #payload::Value>::DEPTH > 0) };
                #described
            }

            #[inline]
            fn encoded_len(&self) -> usize {
                #encoded_len
            }

            #[inline]
            fn encode(&self, out: &mut #payload::Output<'_>) {
                #encode
            }
        }
        #ask
    }
}

/// `generics` with each type parameter a `Value`.
fn with_bounds(generics: &Generics) -> Generics {
    let payload = payload();
    let mut generics = generics.clone();
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(parse_quote!(#payload::Value));
    }
    generics
}

fn of_struct(fields: &Fields) -> Items {
    let parts = Parts::of(fields);
    let (pattern, encoded_len, encode) = (parts.pattern(), parts.encoded_len(), parts.encode());
    Items {
        depth: parts.depth(),
        described: parts.described(),
        encoded_len: quote!({ let Self #pattern = self; #encoded_len }),
        encode: quote!({ let Self #pattern = self; #encode }),
    }
}

/// Whether no variant holds anything.
fn is_enumeration(data: &DataEnum) -> bool {
    data.variants
        .iter()
        .all(|variant| matches!(variant.fields, Fields::Unit))
}

/// How readers know a variant.
fn name_of(variant: &Variant) -> String {
    variant.ident.unraw().to_string()
}

/// An enum of names: its values are the numbers that Rust has for them, in 32 bits as the original's are.
fn of_enumeration(data: &DataEnum) -> Items {
    let names: Vec<String> = data.variants.iter().map(name_of).collect();
    let variants: Vec<_> = data.variants.iter().map(|variant| &variant.ident).collect();
    // Asserted below to lose nothing.
    let number = |variant: &dyn ToTokens| quote!((Self::#variant as i32).cast_unsigned());
    let numbers: Vec<TokenStream> = variants.iter().map(|variant| number(variant)).collect();
    let asserts = variants.iter().map(|variant| {
        let words = format!("the number of variant {variant} does not fit into 32 bits with a sign");
        quote!(::core::assert!(Self::#variant as i32 as i128 == Self::#variant as i128, #words);)
    });
    Items {
        depth: quote!({ #(#asserts)* 2 }),
        described: quote! {
            ::hog_ring::types::Type::Variant(::std::vec![#(::hog_ring::types::Case {
                name: ::std::string::String::from(#names),
                id: #numbers,
                holds: ::hog_ring::types::Type::unit(),
            }),*])
        },
        encoded_len: quote!(4),
        encode: quote! {
            let number: u32 = match self { #(Self::#variants => #numbers),* };
            out.put(&number.to_le_bytes());
        },
    }
}

/// An enum whose variants hold something: a number, which is the variant's place, and what that variant holds.
fn of_variant(data: &DataEnum) -> Items {
    let payload = payload();
    let parts: Vec<Parts<'_>> = data.variants.iter().map(|variant| Parts::of(&variant.fields)).collect();
    let names = data.variants.iter().map(name_of);
    let depths = parts.iter().map(Parts::depth);
    let described = parts.iter().map(Parts::described);
    let arms = |code: &dyn Fn(u32, &Parts<'_>) -> TokenStream| -> TokenStream {
        let arms = (0..).zip(&data.variants).zip(&parts).map(|((number, variant), parts)| {
            let (ident, pattern, code) = (&variant.ident, parts.pattern(), code(number, parts));
            quote!(Self::#ident #pattern => { #code })
        });
        quote!(match self { #(#arms)* })
    };
    let encoded_len = arms(&|_, parts| parts.encoded_len());
    Items {
        depth: quote!(#payload::depth_above(&[#(#depths),*])),
        described: quote!(::hog_ring::types::Type::variant([#((#names, #described)),*])),
        encoded_len: quote!(4 + #encoded_len),
        encode: arms(&|number, parts| {
            let encode = parts.encode();
            quote!(out.put(&#number.to_le_bytes()); #encode)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words with which `item` is refused.
    fn refused(item: &DeriveInput) -> String {
        value(item).unwrap_err().to_string()
    }

    #[test]
    fn what_has_no_values_is_refused_in_words() {
        let union = parse_quote!(
            union Either {
                a: u32,
                b: f32,
            }
        );
        assert!(refused(&union).starts_with("a union cannot be logged"));
        let never = parse_quote!(
            enum Never {}
        );
        assert!(refused(&never).starts_with("an enum without variants"));
    }

    #[test]
    fn what_names_itself_in_a_field_is_refused_and_a_namesake_is_not() {
        let list = parse_quote!(
            struct List<T> {
                first: T,
                rest: Option<Box<List<T>>>,
            }
        );
        assert!(refused(&list).starts_with("`List` contains itself"));
        let tree = parse_quote!(
            enum Tree {
                Leaf,
                Inner((u8, [Vec<Self>; 2])),
            }
        );
        assert!(refused(&tree).starts_with("`Tree` contains itself"));
        let namesake = parse_quote!(
            struct List {
                old: other::List,
            }
        );
        assert!(value(&namesake).is_ok());
    }
}
