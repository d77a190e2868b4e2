// kinglet/core/result.hpp: how does a call say that it failed?
//
// No exception leaves the library. What can fail returns Result<T>: a value, or an Error with a code for the program
// and a sentence for the person. Reading the value of a failed Result gives a default-constructed T, never undefined
// behaviour; every class of the library answers such an object's calls with Errc::moved_from.
#pragma once
#include <cstddef>
#include <utility>

#include <kinglet/core/config.hpp>

namespace kinglet {

enum class Errc : int {
  ok = 0,
  invalid_argument,   ///< an option or argument is out of its range; nothing was changed
  out_of_memory,      ///< the host's allocator or the memory limit refused; nothing was changed
  not_found,          ///< no such file, key, tensor or device
  io_error,           ///< the file could not be read, or changed while it was in use
  bad_format,         ///< the file or text is malformed
  unsupported,        ///< well-formed, but of a kind this build does not handle; the message names it
  context_full,       ///< more tokens than the session's context, or the pool has no free page
  busy,               ///< the object is in use: a generation is running, or another thread is inside it
  poisoned,           ///< the session failed before and needs reset()
  moved_from,         ///< the object holds nothing: moved from, or the value of a failed Result
  cancelled,          ///< the host asked to stop
  not_finite,         ///< a NaN or an infinity appeared in the arithmetic; the message names the layer
  template_error,     ///< the chat template raised an error or broke its limits
  backend,            ///< a backend is missing, or its device failed
  internal,           ///< a bug in the library
};

/// The name of a code, as in the enumeration ("out_of_memory"). Never null.
KINGLET_API const char* to_string(Errc code) noexcept;

struct Error {
  static constexpr std::size_t capacity = 256;

  Errc code = Errc::ok;
  char message[capacity] = {};  ///< zero-terminated UTF-8, cut at the capacity

  Error() noexcept = default;
  Error(Errc c, const char* text) noexcept : code(c) {
    std::size_t i = 0;
    for (; text[i] != '\0' && i + 1 < capacity; ++i) message[i] = text[i];
  }
  explicit operator bool() const noexcept { return code != Errc::ok; }
};

template <class T>
class Result {
 public:
  using value_type = T;

  Result(T value) noexcept : value_(std::move(value)) {}
  Result(const Error& error) noexcept : error_(error) {}

  bool ok() const noexcept { return error_.code == Errc::ok; }
  explicit operator bool() const noexcept { return ok(); }
  const Error& error() const noexcept { return error_; }

  T& value() & noexcept { return value_; }
  const T& value() const& noexcept { return value_; }
  T&& value() && noexcept { return std::move(value_); }
  T& operator*() & noexcept { return value_; }
  const T& operator*() const& noexcept { return value_; }
  T&& operator*() && noexcept { return std::move(value_); }
  T* operator->() noexcept { return &value_; }
  const T* operator->() const noexcept { return &value_; }

 private:
  T value_{};
  Error error_;
};

template <>
class Result<void> {
 public:
  using value_type = void;

  Result() noexcept = default;
  Result(const Error& error) noexcept : error_(error) {}

  bool ok() const noexcept { return error_.code == Errc::ok; }
  explicit operator bool() const noexcept { return ok(); }
  const Error& error() const noexcept { return error_; }

 private:
  Error error_;
};

using Status = Result<void>;

}  // namespace kinglet
