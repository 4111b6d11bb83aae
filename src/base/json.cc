#include "base/json.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <functional>

namespace stemma {
namespace {

constexpr size_t kIndexAbove = 16;

std::string_view name_of(Json::Kind kind) {
  constexpr std::string_view kNames[] = {"null",     "a boolean", "a number",
                                         "a string", "an array",  "an object"};
  return kNames[static_cast<int>(kind)];
}

// Long values would bury the message.
std::string excerpt(std::string_view text) {
  constexpr size_t kLongest = 40;
  if (text.size() <= kLongest) return std::string(text);
  size_t end = kLongest;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return cat(text.substr(0, end), "...");
}

// Python's repr: the shortest digits that read back the same, positional from 1e-4 to 1e16.
template <class T>
std::string repr(T value) {
  check(std::isfinite(value), "[json] ", std::isnan(value) ? "NaN" : "an infinity",
        " cannot be written as a JSON number");
  char buffer[64];
  const T size = std::abs(value);
  const bool positional = size == 0 || (size >= T(1e-4) && size < T(1e16));
  char* end = std::to_chars(buffer, buffer + sizeof buffer, value,
                            positional ? std::chars_format::fixed : std::chars_format::scientific)
                  .ptr;
  std::string text(buffer, end);
  if (positional && text.find('.') == std::string::npos) text += ".0";
  return text;
}

bool integer_text(std::string_view text) {
  return text.find_first_of(".eE") == std::string_view::npos;
}

}  // namespace

Json::Json(double value) : value_(Number{repr(value)}) {}
Json::Json(float value) : value_(Number{repr(value)}) {}

Json Json::array(std::vector<Json> items) {
  Json json;
  json.value_ = std::move(items);
  return json;
}

Json Json::object(std::vector<Member> members) {
  Json json;
  Object& object = json.value_.emplace<Object>();
  object.members.reserve(members.size());
  for (Member& member : members) {
    if (Json* earlier = object.find(member.first))
      *earlier = std::move(member.second);
    else
      object.append(std::move(member.first), std::move(member.second));
  }
  return json;
}

// ---- objects ----

Json* Json::Object::find(std::string_view key) {
  if (slots.empty()) {
    for (Member& member : members)
      if (member.first == key) return &member.second;
    return nullptr;
  }
  const uint64_t hash = std::hash<std::string_view>()(key);
  const size_t mask = slots.size() - 1;
  for (size_t i = hash & mask; slots[i] != 0; i = (i + 1) & mask) {
    if (slots[i] >> 32 != hash >> 32) continue;
    Member& member = members[static_cast<uint32_t>(slots[i]) - 1];
    if (member.first == key) return &member.second;
  }
  return nullptr;
}

void Json::Object::append(std::string key, Json value) {
  members.emplace_back(std::move(key), std::move(value));
  if (members.size() <= kIndexAbove) return;
  if (members.size() * 2 > slots.size())
    resize_slots(members.capacity());
  else
    insert_slot(static_cast<uint32_t>(members.size() - 1));
}

void Json::Object::resize_slots(size_t capacity) {
  check(capacity < size_t{1} << 31, "[json] an object of ", capacity, " members is too large");
  slots.assign(std::bit_ceil(2 * capacity), 0);
  for (size_t i = 0; i < members.size(); ++i) insert_slot(static_cast<uint32_t>(i));
}

void Json::Object::insert_slot(uint32_t member) {
  const uint64_t hash = std::hash<std::string_view>()(members[member].first);
  const size_t mask = slots.size() - 1;
  size_t i = hash & mask;
  while (slots[i] != 0) i = (i + 1) & mask;
  slots[i] = (hash >> 32 << 32) | (member + 1);
}

// ---- access ----

void Json::wrong_kind(std::string_view expected) const {
  std::string value;
  if (is_bool() || is_number() || is_string()) value = cat(" ", excerpt(dump()));
  fail(Code::kFailed, "[json] expected ", expected, ", found ", name_of(kind()), value);
}

bool Json::as_bool() const {
  if (const bool* b = std::get_if<bool>(&value_)) return *b;
  wrong_kind("a boolean");
}

int64_t Json::as_int() const {
  if (!is_number()) wrong_kind("an integer");
  const std::string& text = number_text();
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size()) return value;
  if (integer_text(text))
    fail(Code::kFailed, "[json] the number ", excerpt(text), " does not fit 64 bits");
  // 3.0 and 1e3: only where the double is exact.
  const double d = as_double();
  if (d != std::floor(d) || std::abs(d) > 0x1p53) wrong_kind("an integer");
  return static_cast<int64_t>(d);
}

double Json::as_double() const {
  if (!is_number()) wrong_kind("a number");
  const std::string& text = number_text();
  double value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  check(result.ec == std::errc(), "[json] the number ", excerpt(text), " does not fit a double");
  return value;
}

const std::string& Json::as_string() const {
  if (const std::string* s = std::get_if<std::string>(&value_)) return *s;
  wrong_kind("a string");
}

const std::string& Json::number_text() const {
  if (const Number* n = std::get_if<Number>(&value_)) return n->text;
  wrong_kind("a number");
}

size_t Json::size() const { return is_object() ? members().size() : items().size(); }

const std::vector<Json>& Json::items() const {
  if (const auto* items = std::get_if<std::vector<Json>>(&value_)) return *items;
  wrong_kind("an array");
}

const std::vector<Json::Member>& Json::members() const {
  if (const Object* object = std::get_if<Object>(&value_)) return object->members;
  wrong_kind("an object");
}

const Json& Json::at(size_t index) const {
  const auto& all = items();
  check(index < all.size(), "[json] index ", index, " in an array of ", all.size());
  return all[index];
}

const Json& Json::at(std::string_view key) const {
  if (!is_object()) wrong_kind(cat("an object with the key \"", excerpt(key), "\""));
  if (const Json* json = find(key)) return *json;
  std::string keys;
  constexpr size_t kShown = 8;
  for (size_t i = 0; i < std::min(kShown, size()); ++i)
    keys += cat(i ? ", \"" : "\"", excerpt(members()[i].first), "\"");
  if (size() > kShown) keys += ", ...";
  fail(Code::kFailed, "[json] there is no key \"", excerpt(key), "\"; the object has ",
       size() == 0 ? "none" : keys);
}

const Json* Json::find(std::string_view key) const {
  const Object* object = std::get_if<Object>(&value_);
  return object ? const_cast<Object*>(object)->find(key) : nullptr;
}

namespace {

// The value of an optional key, its errors opened by the key's name.
template <class T, class Read>
T optional_value(const Json& object, std::string_view key, T fallback, Read read) {
  if (!object.is_object()) return object.at(key), fallback;
  const Json* json = object.find(key);
  if (!json || json->is_null()) return fallback;
  try {
    return read(*json);
  } catch (const Error& e) {
    constexpr std::string_view kPlace = "[json] ";
    fail(e.code(), kPlace, "key \"", key, "\": ", e.message().substr(kPlace.size()));
  }
}

}  // namespace

bool Json::get(std::string_view key, bool fallback) const {
  return optional_value(*this, key, fallback, [](const Json& j) { return j.as_bool(); });
}
int64_t Json::get(std::string_view key, int64_t fallback) const {
  return optional_value(*this, key, fallback, [](const Json& j) { return j.as_int(); });
}
double Json::get(std::string_view key, double fallback) const {
  return optional_value(*this, key, fallback, [](const Json& j) { return j.as_double(); });
}
std::string Json::get(std::string_view key, const char* fallback) const {
  return optional_value(*this, key, std::string(fallback),
                        [](const Json& j) { return j.as_string(); });
}

// ---- building ----

void Json::push_back(Json value) {
  if (is_null()) value_.emplace<std::vector<Json>>();
  if (auto* items = std::get_if<std::vector<Json>>(&value_))
    items->push_back(std::move(value));
  else
    wrong_kind("an array");
}

void Json::set(std::string_view key, Json value) { (*this)[key] = std::move(value); }

Json& Json::operator[](std::string_view key) {
  if (is_null()) value_.emplace<Object>();
  Object* object = std::get_if<Object>(&value_);
  if (!object) wrong_kind("an object");
  if (Json* json = object->find(key)) return *json;
  object->append(std::string(key), Json());
  return object->members.back().second;
}

bool Json::operator==(const Json& other) const {
  if (kind() != other.kind()) return false;
  switch (kind()) {
    case Kind::null:
      return true;
    case Kind::boolean:
      return as_bool() == other.as_bool();
    case Kind::number: {
      const std::string &a = number_text(), &b = other.number_text();
      if (a == b) return true;
      // Unequal integer texts are unequal integers, except for -0.
      if (integer_text(a) && integer_text(b))
        return (a == "-0" && b == "0") || (a == "0" && b == "-0");
      return as_double() == other.as_double();
    }
    case Kind::string:
      return as_string() == other.as_string();
    case Kind::array:
      return items() == other.items();
    case Kind::object:
      return size() == other.size() && std::ranges::all_of(members(), [&](const Member& member) {
               const Json* twin = other.find(member.first);
               return twin && *twin == member.second;
             });
  }
  return false;
}

}  // namespace stemma
