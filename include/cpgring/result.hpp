// result<T>: a value, or the error that explains why there is none. The compiler warns if a result is
// ignored.
//
//   auto opened = engine.open(options, callbacks);
//   if (!opened) {
//     std::cerr << opened.error().message() << '\n';
//     return 1;
//   }
//   handle h = *opened;
//
// Nothing here throws except value(), which is for programs that prefer exceptions.
#pragma once

#if __cplusplus < 202002L
#error "cpgring needs C++20: compile with -std=c++20"
#else

#include <cassert>
#include <concepts>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include <cpgring/error.hpp>

namespace cpgring {

template <class T>
class result;
template <>
class result<void>;

/// An error that converts to a result of any type; made by fail().
struct [[nodiscard]] failure {
  error why;
};

/// For `return fail(errc::x, "what was wrong; what to do")`.
inline failure fail(errc code, std::string text = {}) { return {error(code, std::move(text))}; }
inline failure fail(error why) { return {std::move(why)}; }
/// As fail(), for an errno value; `what` names the call and its object.
failure fail_errno(int errno_value, std::string_view what);

namespace detail {

/// Throws a std::system_error with the code of `why`; its what() is the text of `why` alone.
[[noreturn]] void throw_error(const error& why);

template <class>
inline constexpr bool is_result = false;
template <class T>
inline constexpr bool is_result<result<T>> = true;

template <class F, class... Arguments>
using result_of = result<std::remove_cvref_t<std::invoke_result_t<F, Arguments...>>>;

/// Calls `f` and wraps what it returns, also if that is void.
template <class F, class... Arguments>
result_of<F, Arguments...> wrap(F&& f, Arguments&&... arguments) {
  if constexpr (std::is_void_v<std::invoke_result_t<F, Arguments...>>) {
    std::invoke(std::forward<F>(f), std::forward<Arguments>(arguments)...);
    return {};
  } else {
    return std::invoke(std::forward<F>(f), std::forward<Arguments>(arguments)...);
  }
}

}  // namespace detail

/// As thread-safe as T. Reading the value of a failed result, or the error of a successful one, is an error
/// of the program (assert).
template <class T>
class [[nodiscard]] result {
 public:
  using value_type = T;

  template <class U = T>
  requires(std::convertible_to<U, T> && !detail::is_result<std::remove_cvref_t<U>> &&
           !std::same_as<std::remove_cvref_t<U>, failure>) result(U&& value)
      : state_(std::in_place_index<0>, std::forward<U>(value)) {}
  result(failure f) : state_(std::in_place_index<1>, std::move(f.why)) {}

  [[nodiscard]] bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  [[nodiscard]] T& operator*() & noexcept { return good(*this); }
  [[nodiscard]] const T& operator*() const& noexcept { return good(*this); }
  [[nodiscard]] T&& operator*() && noexcept { return std::move(good(*this)); }
  [[nodiscard]] T* operator->() noexcept { return &good(*this); }
  [[nodiscard]] const T* operator->() const noexcept { return &good(*this); }

  /// Throws std::system_error with the code and text of the error if there is no value.
  [[nodiscard]] T& value() & { return checked(*this); }
  [[nodiscard]] const T& value() const& { return checked(*this); }
  [[nodiscard]] T&& value() && { return std::move(checked(*this)); }
  template <class U>
  [[nodiscard]] T value_or(U&& other) const& {
    return has_value() ? **this : static_cast<T>(std::forward<U>(other));
  }
  template <class U>
  [[nodiscard]] T value_or(U&& other) && {
    return has_value() ? *std::move(*this) : static_cast<T>(std::forward<U>(other));
  }

  [[nodiscard]] cpgring::error& error() & noexcept { return bad(*this); }
  [[nodiscard]] const cpgring::error& error() const& noexcept { return bad(*this); }
  [[nodiscard]] cpgring::error&& error() && noexcept { return std::move(bad(*this)); }

  /// Returns `f(value)`, a result; or this error.
  template <class F>
  std::invoke_result_t<F, const T&> and_then(F&& f) const& {
    return has_value() ? std::invoke(std::forward<F>(f), **this) : fail(error());
  }
  template <class F>
  std::invoke_result_t<F, T&&> and_then(F&& f) && {
    return has_value() ? std::invoke(std::forward<F>(f), *std::move(*this)) : fail(std::move(*this).error());
  }
  /// Returns the value of `f(value)` as a result; or this error.
  template <class F>
  detail::result_of<F, const T&> transform(F&& f) const& {
    return has_value() ? detail::wrap(std::forward<F>(f), **this) : fail(error());
  }
  template <class F>
  detail::result_of<F, T&&> transform(F&& f) && {
    return has_value() ? detail::wrap(std::forward<F>(f), *std::move(*this)) : fail(std::move(*this).error());
  }
  /// Returns this value; or `f(error)`, a result<T>.
  template <class F>
  result or_else(F&& f) const& {
    return has_value() ? *this : std::invoke(std::forward<F>(f), error());
  }
  template <class F>
  result or_else(F&& f) && {
    return has_value() ? std::move(*this) : std::invoke(std::forward<F>(f), std::move(*this).error());
  }

 private:
  template <class Self>
  static auto& good(Self& self) noexcept {
    auto* const value = std::get_if<0>(&self.state_);
    assert(value != nullptr && "this result has no value");
    return *value;
  }
  template <class Self>
  static auto& checked(Self& self) {
    if (!self.has_value()) {
      detail::throw_error(self.error());
    }
    return good(self);
  }
  template <class Self>
  static auto& bad(Self& self) noexcept {
    auto* const why = std::get_if<1>(&self.state_);
    assert(why != nullptr && "this result has no error");
    return *why;
  }

  std::variant<T, cpgring::error> state_;
};

/// Success, or an error.
template <>
class [[nodiscard]] result<void> {
 public:
  using value_type = void;

  result() noexcept = default;
  result(failure f) : why_(std::move(f.why)) {}

  [[nodiscard]] bool has_value() const noexcept { return !why_.has_value(); }
  explicit operator bool() const noexcept { return has_value(); }
  /// Throws std::system_error with the code and text of the error, if there is one.
  void value() const {
    if (why_) {
      detail::throw_error(*why_);
    }
  }

  [[nodiscard]] cpgring::error& error() & noexcept { return *why_; }
  [[nodiscard]] const cpgring::error& error() const& noexcept { return *why_; }
  [[nodiscard]] cpgring::error&& error() && noexcept { return std::move(*why_); }

  /// Returns `f()`, a result; or this error.
  template <class F>
  std::invoke_result_t<F> and_then(F&& f) const {
    return has_value() ? std::invoke(std::forward<F>(f)) : fail(error());
  }
  /// Returns the value of `f()` as a result; or this error.
  template <class F>
  detail::result_of<F> transform(F&& f) const {
    return has_value() ? detail::wrap(std::forward<F>(f)) : fail(error());
  }
  /// Returns success; or `f(error)`, a result<void>.
  template <class F>
  result or_else(F&& f) const {
    return has_value() ? *this : std::invoke(std::forward<F>(f), error());
  }

 private:
  std::optional<cpgring::error> why_;
};

}  // namespace cpgring

#endif
