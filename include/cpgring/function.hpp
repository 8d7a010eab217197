// function: a callable that can be moved and not copied, like std::move_only_function of C++23. Its captures
// may be move-only.
#pragma once

#if __cplusplus < 202002L
#error "cpgring needs C++20: compile with -std=c++20"
#else

#include <cstddef>
#include <functional>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace cpgring {

template <class Signature>
class function;

namespace detail {
template <class>
inline constexpr bool is_function = false;
template <class Signature>
inline constexpr bool is_function<function<Signature>> = true;
template <class Signature>
inline constexpr bool is_function<std::function<Signature>> = true;
}  // namespace detail

/// Empty, or holds one callable. Made from any movable callable with this signature; an empty std::function
/// and a null pointer make it empty.
/// - Up to 32 bytes of captures are stored in the object; larger callables are allocated once.
/// - The call operator is const and calls the callable as non-const, as std::function does. Callers on
///   several threads must make sure that the callable allows it.
/// - Calling an empty function is undefined.
template <class Result, class... Arguments>
class function<Result(Arguments...)> {
 public:
  function() noexcept = default;
  function(std::nullptr_t) noexcept {}
  template <class Callable>
  requires(!std::is_same_v<std::remove_cvref_t<Callable>, function> &&
           std::is_invocable_r_v<Result, std::decay_t<Callable>&, Arguments...>)
      function(Callable&& callable) {
    using held = std::decay_t<Callable>;
    if constexpr (std::is_pointer_v<std::remove_reference_t<Callable>> || std::is_member_pointer_v<held>) {
      if (callable == nullptr) {
        return;
      }
    } else if constexpr (detail::is_function<held>) {
      if (!callable) {
        return;
      }
    }
    if constexpr (fits<held>) {
      ::new (static_cast<void*>(room_)) held(std::forward<Callable>(callable));
    } else {
      ::new (static_cast<void*>(room_)) held*(new held(std::forward<Callable>(callable)));
    }
    call_ = &call<held>;
    care_ = &care<held>;
  }
  function(function&& other) noexcept { take(other); }
  function& operator=(function&& other) noexcept {
    if (this != &other) {
      function old(std::move(*this));  // destroyed after the assignment, because it may refer to this object
      take(other);
    }
    return *this;
  }
  ~function() {
    if (care_ != nullptr) {
      care_(room_, nullptr);
    }
  }

  [[nodiscard]] explicit operator bool() const noexcept { return call_ != nullptr; }
  [[nodiscard]] friend bool operator==(const function& f, std::nullptr_t) noexcept {
    return f.call_ == nullptr;
  }
  Result operator()(Arguments... arguments) const {
    return call_(room_, std::forward<Arguments>(arguments)...);
  }

 private:
  static constexpr std::size_t room = 4 * sizeof(void*);
  template <class Held>
  static constexpr bool fits =
      sizeof(Held) <= room &&
      alignof(Held) <= alignof(std::max_align_t) && std::is_nothrow_move_constructible_v<Held>;

  template <class Held>
  static Held& held_in(std::byte* where) noexcept {
    if constexpr (fits<Held>) {
      return *std::launder(reinterpret_cast<Held*>(where));
    } else {
      return **std::launder(reinterpret_cast<Held**>(where));
    }
  }
  template <class Held>
  static Result call(std::byte* where, Arguments&&... arguments) {
    if constexpr (std::is_void_v<Result>) {
      std::invoke(held_in<Held>(where), std::forward<Arguments>(arguments)...);
    } else {
      return std::invoke(held_in<Held>(where), std::forward<Arguments>(arguments)...);
    }
  }
  /// Moves the callable from one storage to another; with a null `to`, destroys it.
  template <class Held>
  static void care(std::byte* from, std::byte* to) noexcept {
    Held& held = held_in<Held>(from);
    if constexpr (fits<Held>) {
      if (to != nullptr) {
        ::new (static_cast<void*>(to)) Held(std::move(held));
      }
      held.~Held();
    } else if (to != nullptr) {
      ::new (static_cast<void*>(to)) Held*(&held);
    } else {
      delete &held;
    }
  }
  void take(function& other) noexcept {
    if (other.care_ != nullptr) {
      other.care_(other.room_, room_);
    }
    call_ = std::exchange(other.call_, nullptr);
    care_ = std::exchange(other.care_, nullptr);
  }

  alignas(std::max_align_t) mutable std::byte room_[room];
  Result (*call_)(std::byte*, Arguments&&...) = nullptr;
  void (*care_)(std::byte*, std::byte*) noexcept = nullptr;
};

}  // namespace cpgring

#endif
