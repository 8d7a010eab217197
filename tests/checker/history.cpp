#include "checker/history.hpp"

#include <algorithm>
#include <istream>
#include <ostream>
#include <sstream>

#include <fmt/format.h>

namespace cpgring::checker {
namespace {

constexpr std::pair<event::kind, const char*> words[] = {
    {event::kind::message, "message"}, {event::kind::view, "view"}, {event::kind::ring, "ring"},
    {event::kind::gap, "gap"},         {event::kind::sent, "sent"}, {event::kind::known, "known"},
    {event::kind::unsent, "unsent"}};

std::string text_of(const std::vector<address>& list) {
  std::string text;
  for (const address& one : list) {
    text += fmt::format("{}{}:{}", text.empty() ? "" : ",", one.node, one.pid);
  }
  return text.empty() ? "-" : text;
}

bool parse(const std::string& text, address& into) {
  std::istringstream in(text);
  char colon = 0;
  return (in >> into.node >> colon >> into.pid) && colon == ':' &&
         in.peek() == std::istringstream::traits_type::eof();
}

bool parse(const std::string& text, std::vector<address>& into) {
  if (text == "-") {
    return true;
  }
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, ',');) {
    if (!parse(word, into.emplace_back())) {
      return false;
    }
  }
  return !into.empty();
}

bool parse(const std::string& line, event& into) {
  std::istringstream in(line);
  std::string word;
  in >> word;
  const auto* found =
      std::find_if(std::begin(words), std::end(words), [&](const auto& one) { return one.second == word; });
  if (found == std::end(words)) {
    return false;
  }
  into.what = found->first;
  switch (into.what) {
    case event::kind::message:
    case event::kind::sent:
    case event::kind::known:
    case event::kind::unsent: in >> into.id.sender >> into.id.sequence; break;
    case event::kind::ring: in >> into.ring; break;
    case event::kind::view: {
      std::string members, joined, left;
      in >> into.ring >> members >> joined >> left;
      if (!parse(members, into.members) || !parse(joined, into.joined) || !parse(left, into.left)) {
        return false;
      }
      break;
    }
    case event::kind::gap: break;
  }
  std::string rest;
  return !in.fail() && !(in >> rest);
}

}  // namespace

void write(std::ostream& out, const event& one) {
  for (const auto& [kind, word] : words) {
    if (kind == one.what) {
      out << word;
    }
  }
  switch (one.what) {
    case event::kind::message:
    case event::kind::sent:
    case event::kind::known:
    case event::kind::unsent: out << ' ' << one.id.sender << ' ' << one.id.sequence; break;
    case event::kind::ring: out << ' ' << one.ring; break;
    case event::kind::view:
      out << ' ' << one.ring << ' ' << text_of(one.members) << ' ' << text_of(one.joined) << ' '
          << text_of(one.left);
      break;
    case event::kind::gap: break;
  }
  out << '\n';
}

void write(std::ostream& out, const history& all) {
  out << "process " << all.self.node << ':' << all.self.pid << '\n';
  for (const event& one : all.events) {
    write(out, one);
  }
}

std::optional<history> read(std::istream& in, std::string& error) {
  history all;
  std::string line;
  if (!std::getline(in, line) || !line.starts_with("process ") || !parse(line.substr(8), all.self)) {
    error = "line 1 is not 'process NODE:PID'";
    return std::nullopt;
  }
  all.process = line.substr(8);
  for (std::size_t number = 2; std::getline(in, line); ++number) {
    const bool torn = in.eof();
    event one;
    if (!parse(line, one)) {
      if (torn) {
        break;
      }
      error = fmt::format("line {} is not an event: '{}'", number, line);
      return std::nullopt;
    }
    if (!torn) {
      all.events.push_back(std::move(one));
    }
  }
  return all;
}

}  // namespace cpgring::checker
