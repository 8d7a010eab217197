#include "cli/inject_option.hpp"

#include <array>
#include <charconv>
#include <chrono>
#include <optional>

#include <fmt/format.h>

namespace cpgring::cli {
namespace {

using testing::fault_rate;
using testing::injected_faults;
using testing::service_faults;

struct kind {
  std::string_view name;
  std::string_view occasion;
  std::string_view number;  // empty: the kind takes no number
  fault_rate service_faults::*rate;
  void (*set)(service_faults&, std::uint32_t);
  std::uint64_t injected_faults::*committed;
};

const std::array<kind, 9> kinds{{
    {"torn-frame", "event", "", &service_faults::torn_frame, nullptr, &injected_faults::torn_frames},
    {"lying-frame", "event", "", &service_faults::lying_frame, nullptr, &injected_faults::lying_frames},
    {"late-doorbell", "event", "ms at most", &service_faults::late_doorbell,
     [](service_faults& f, std::uint32_t n) { f.late_doorbell_max = std::chrono::milliseconds(n); },
     &injected_faults::late_doorbells},
    {"try-again", "control request", "ms of a storm", &service_faults::try_again,
     [](service_faults& f, std::uint32_t n) { f.try_again_for = std::chrono::milliseconds(n); },
     &injected_faults::try_agains},
    {"stall", "request", "ms", &service_faults::stall,
     [](service_faults& f, std::uint32_t n) { f.stall_for = std::chrono::milliseconds(n); },
     &injected_faults::stalls},
    {"crowd", "request of a member", "members", &service_faults::crowd,
     [](service_faults& f, std::uint32_t n) { f.crowd_members = n; }, &injected_faults::crowd_moves},
    {"hang-up", "event and request", "", &service_faults::hang_up, nullptr, &injected_faults::hang_ups},
    {"hang-up-sender", "fragment sent", "", &service_faults::hang_up_sender, nullptr,
     &injected_faults::hang_ups_sender},
    {"hang-up-receiver", "fragment received", "", &service_faults::hang_up_receiver, nullptr,
     &injected_faults::hang_ups_receiver},
}};

template <class Number>
std::optional<Number> number_in(std::string_view text) {
  Number value{};
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  return code == std::errc{} && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

std::string names() {
  std::string all;
  for (const kind& one : kinds) {
    all += fmt::format("{}{}", all.empty() ? "" : ", ", one.name);
  }
  return all;
}

}  // namespace

result<void> parse_fault(std::string_view text, testing::service_faults& into) {
  const auto equals = text.find('=');
  const auto name = text.substr(0, equals);
  const kind* found = nullptr;
  for (const kind& one : kinds) {
    found = one.name == name ? &one : found;
  }
  if (found == nullptr) {
    return fail(errc::invalid_param, fmt::format("there is no fault '{}'; there are {}", name, names()));
  }
  if (equals == std::string_view::npos) {
    return fail(errc::invalid_param, fmt::format("'{}' lacks its rate, as in {}=0.01", text, name));
  }
  const auto value = text.substr(equals + 1);
  const auto colon = value.find(':');
  const auto rate = number_in<double>(value.substr(0, colon));
  if (!rate) {
    return fail(errc::invalid_param, fmt::format("the rate of {} is '{}', it must be a number from 0 to 1",
                                                 name, value.substr(0, colon)));
  }
  service_faults changed = into;
  (changed.*found->rate).probability = *rate;
  if (colon != std::string_view::npos) {
    if (found->set == nullptr) {
      return fail(errc::invalid_param,
                  fmt::format("{} takes nothing after its rate, '{}' has a ':'", name, text));
    }
    const auto number = number_in<std::uint32_t>(value.substr(colon + 1));
    if (!number) {
      return fail(errc::invalid_param,
                  fmt::format("the number after the rate of {} is '{}', it must be a whole number ({})", name,
                              value.substr(colon + 1), found->number));
    }
    found->set(changed, *number);
  }
  if (auto ok = changed.validate(); !ok) {
    return ok;
  }
  into = changed;
  return {};
}

std::string fault_kinds_text() {
  std::string all;
  for (const kind& one : kinds) {
    all += fmt::format("{}{}{} ({})", all.empty() ? "" : ", ", one.name,
                       one.number.empty() ? "" : fmt::format("[:{}]", one.number), one.occasion);
  }
  return all;
}

std::string committed_text(const testing::injected_faults& faults) {
  std::string all;
  for (const kind& one : kinds) {
    if (const auto count = faults.*one.committed; count != 0) {
      all += fmt::format("{}{} {}", all.empty() ? "" : ", ", count, one.name);
    }
  }
  return all.empty() ? "none" : all;
}

}  // namespace cpgring::cli
