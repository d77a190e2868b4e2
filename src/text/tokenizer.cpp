// text/tokenizer.cpp: how do tokens become bytes and text?
#include <kinglet/text/tokenizer.hpp>

#include <algorithm>

#include <kinglet/core/memory.hpp>

#include "core/fail.hpp"
#include "text/tables.hpp"
#include "text/unicode.hpp"

namespace kinglet::text {
namespace {

Error nothing() noexcept { return core::fail(Errc::moved_from, "this tokenizer holds nothing: it was moved from"); }

}  // namespace

Status Tokenizer::protect(std::string_view untrusted, std::pmr::string& out) const noexcept {
  return core::guarded([&]() -> Status {
    if (tables_ == nullptr) return nothing();
    const std::size_t invalid = first_invalid(untrusted);
    if (invalid < untrusted.size()) {
      return core::fail(Errc::invalid_argument, "the text is not UTF-8: byte {} of {}", invalid, untrusted.size());
    }
    const std::size_t before = out.size();
    try {
      out.reserve(before + untrusted.size());
      for (std::size_t at = 0, next; at < untrusted.size(); at = next) {
        next = at + length_of(untrusted[at]);
        out.append(untrusted.substr(at, next - at));
        if (tables_->specials.control_begins(untrusted, at)) out.push_back(guard);
      }
    } catch (...) {
      out.resize(before);
      throw;
    }
    return {};
  });
}

Status Tokenizer::decode(std::span<const std::int32_t> tokens, bool special, std::pmr::string& out) const noexcept {
  return core::guarded([&]() -> Status {
    if (tables_ == nullptr) return nothing();
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      if (!tables_->has(tokens[i])) {
        return core::fail(Errc::invalid_argument, "token {} of {} is {}, but the vocabulary has {} pieces", i,
                          tokens.size(), tokens[i], tables_->size);
      }
    }
    const std::size_t before = out.size();
    const bool prefixed = !tables_->byte_level && tables_->add_space_prefix;
    bool prefix = prefixed;  // a space that encode() put here
    try {
      for (const std::int32_t token : tokens) {
        const TokenType type = tables_->type(token);
        if (type == TokenType::control || type == TokenType::unknown) {
          if (special) out.append(piece(token));
          prefix = prefixed;
          continue;
        }
        std::string_view text = bytes(token);
        if (prefix && type == TokenType::normal && text.substr(0, 1) == " ") text.remove_prefix(1);
        out.append(text);
        prefix = type == TokenType::user_defined && prefixed;
      }
    } catch (...) {
      out.resize(before);
      throw;
    }
    return {};
  });
}

std::string_view Tokenizer::bytes(std::int32_t token) const noexcept {
  return tables_ != nullptr && tables_->has(token) ? tables_->texts[static_cast<std::size_t>(token)]
                                                   : std::string_view();
}

std::string_view Tokenizer::piece(std::int32_t token) const noexcept {
  return tables_ != nullptr && tables_->has(token) ? tables_->pieces[static_cast<std::size_t>(token)]
                                                   : std::string_view();
}

TokenType Tokenizer::type(std::int32_t token) const noexcept {
  return tables_ != nullptr && tables_->has(token) ? tables_->type(token) : TokenType::unused;
}

std::int32_t Tokenizer::find(std::string_view piece) const noexcept {
  if (tables_ == nullptr) return -1;
  const std::int32_t normal = tables_->index.find(tables_->pieces, piece, true);
  const std::int32_t other = tables_->index.find(tables_->pieces, piece, false);
  if (!tables_->has(normal)) return other;
  return other >= 0 ? std::min(normal, other) : normal;
}

bool Tokenizer::ends_generation(std::int32_t token) const noexcept {
  return tables_ != nullptr && tables_->has(token) &&
         (tables_->flags[static_cast<std::size_t>(token)] & Tables::ends) != 0;
}

std::int32_t Tokenizer::size() const noexcept { return tables_ != nullptr ? tables_->size : 0; }
std::int32_t Tokenizer::bos() const noexcept { return tables_ != nullptr ? tables_->bos : -1; }
std::int32_t Tokenizer::eos() const noexcept { return tables_ != nullptr ? tables_->eos : -1; }
std::int32_t Tokenizer::eot() const noexcept { return tables_ != nullptr ? tables_->eot : -1; }
std::int32_t Tokenizer::eom() const noexcept { return tables_ != nullptr ? tables_->eom : -1; }
std::int32_t Tokenizer::unknown() const noexcept { return tables_ != nullptr ? tables_->unknown : -1; }
std::int32_t Tokenizer::pad() const noexcept { return tables_ != nullptr ? tables_->pad : -1; }
bool Tokenizer::add_bos() const noexcept { return tables_ != nullptr && tables_->add_bos; }
bool Tokenizer::add_eos() const noexcept { return tables_ != nullptr && tables_->add_eos; }
std::size_t Tokenizer::longest_piece() const noexcept { return tables_ != nullptr ? tables_->longest : 0; }

}  // namespace kinglet::text
