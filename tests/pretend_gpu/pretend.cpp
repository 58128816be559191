// The device `pretend` (PyTorch's PrivateUse1): host memory and the CPU's kernels, under the rules of CUDA.
//
// A kernel of the CPU is run on the same bytes, seen as a tensor of the CPU. Before that, tensors are checked as CUDA's
// wrappers check them:
//   - all tensors of a call are on one device, numbers in tensors (0-dim) included: c10::impl's
//     check_and_update_common_device, which torchgen writes before each kernel of CUDA
//   - operators with `device_check: NoCheck` in native_functions.yaml take numbers in tensors of the CPU
//   - indices and masks may be of the CPU; what is indexed, and values with dimensions, may not (TensorAdvancedIndexing)
//   - generators are of the device (at::check_generator), and give other numbers than the CPU's
//   - integers have no matrix products
//   - pretend:0 and pretend:1 do not mix
// Fresh memory is all ones in bits: NaN in floats, so whoever reads it before writing is found. `no_float64` takes
// float64 away, as MPS lacks it (EmptyTensor.cpp).
//
// What makes the host wait for CUDA's stream is told to a Python function: `read` where the host needs a value or a
// size (copies to the host, item, nonzero, masks, errors of linear algebra), `write` for copies from the host, `wait`
// for synchronize().
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/ops/_local_scalar_dense_native.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_cpu_dispatch.h>
#include <ATen/ops/convolution.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/resize_native.h>
#include <ATen/ops/set_cpu_dispatch.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/csrc/utils/pybind.h>
#include <torch/library.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <unordered_set>

namespace {

using at::Tensor;
using c10::Device, c10::DeviceIndex, c10::DispatchKey, c10::DispatchKeySet, c10::IValue, c10::Storage;
using Names = std::unordered_set<std::string>;

constexpr auto kPretend = c10::DeviceType::PrivateUse1;
constexpr DeviceIndex kDevices = 2;

thread_local DeviceIndex current = 0;
std::atomic<bool> no_float64{false}, watched{false};
py::object* watcher = nullptr;  // Never freed: a thread may be in it.
Names unchecked;                // Operators whose wrapper checks no devices, as "aten::add.Tensor".

bool ours(const Tensor& t) { return t.defined() && t.device().type() == kPretend; }

void tell(const char* kind, const std::string& what) {
  if (!watched) return;
  py::gil_scoped_acquire gil;
  (*watcher)(kind, what);
}

// Memory ----------------------------------------------------------------------------------------------------------------

struct Memory final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    const Device device(kPretend, current);
    if (bytes == 0) return {nullptr, nullptr, &std::free, device};
    void* block = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
    TORCH_CHECK(block, "pretend out of memory. Tried to allocate ", bytes, " bytes");
    std::memset(block, 0xFF, bytes);
    return {block, block, &std::free, device};
  }
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void* to, const void* from, size_t bytes) const override { std::memcpy(to, from, bytes); }
} memory;
REGISTER_ALLOCATOR(kPretend, &memory);

// The same bytes as a storage of another device, which keeps them alive.
Storage over(const Storage& bytes, Device device, c10::Allocator* allocator) {
  auto* kept = new Storage(bytes);
  c10::DataPtr data(bytes.mutable_data(), kept, [](void* p) { delete static_cast<Storage*>(p); }, device);
  return {Storage::use_byte_size_t(), bytes.nbytes(), std::move(data), allocator, /*resizable=*/true};
}

// The tensors of one call on both sides. A storage has one counterpart, so kernels see which arguments overlap.
class Mirror {
 public:
  Tensor host(const Tensor& t) {
    if (!ours(t)) return t;
    for (const auto& p : pairs_) {
      if (p.device.is_alias_of(t.storage())) return like(t, p.host, DispatchKeySet(DispatchKey::CPU));
    }
    pairs_.push_back({t.storage(), over(t.storage(), at::kCPU, at::GetAllocator(at::kCPU)), t.key_set()});
    return like(t, pairs_.back().host, DispatchKeySet(DispatchKey::CPU));
  }
  Tensor device(const Tensor& t, Device where) {
    if (!t.defined() || ours(t)) return t;
    for (const auto& p : pairs_) {
      if (!p.host.is_alias_of(t.storage())) continue;
      if (!p.keys) return like(t, p.device, DispatchKeySet(DispatchKey::PrivateUse1));
      // A view of an argument has its keys: of an ordinary tensor it is ordinary, in inference mode too.
      auto view = at::detail::make_tensor<c10::TensorImpl>(
          c10::TensorImpl::VIEW, Storage(p.device), *p.keys, t.dtype());
      view.unsafeGetTensorImpl()->set_sizes_and_strides(t.sizes(), t.strides(), t.storage_offset());
      return view;
    }
    pairs_.push_back({over(t.storage(), where, &memory), t.storage(), std::nullopt});
    return like(t, pairs_.back().device, DispatchKeySet(DispatchKey::PrivateUse1));
  }

 private:
  struct Pair {
    Storage device, host;
    std::optional<DispatchKeySet> keys;  // Of the argument; none of a result.
  };
  static Tensor like(const Tensor& t, const Storage& storage, DispatchKeySet keys) {
    auto made = at::detail::make_tensor<c10::TensorImpl>(Storage(storage), keys, t.dtype());
    auto* impl = made.unsafeGetTensorImpl();
    impl->set_sizes_and_strides(t.sizes(), t.strides(), t.storage_offset());
    if (t.is_conj()) impl->_set_conj(true);
    if (t.is_neg()) impl->_set_neg(true);
    return made;
  }
  std::vector<Pair> pairs_;
};

// What PyTorch asks of a device ------------------------------------------------------------------------------------------

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return kPretend; }
  Device getDevice() const override { return {kPretend, current}; }
  void setDevice(Device d) const override {
    TORCH_CHECK(d.type() == kPretend && d.index() < kDevices, "invalid device ordinal: ", d);
    uncheckedSetDevice(d);
  }
  void uncheckedSetDevice(Device d) const noexcept override {
    if (d.index() >= 0) current = d.index();
  }
  Device exchangeDevice(Device d) const override {
    const Device before = getDevice();
    setDevice(d);
    return before;
  }
  DeviceIndex deviceCount() const noexcept override { return kDevices; }
  // There is one stream a device, and what it was given is done at once.
  static c10::Stream only(Device d) { return c10::Stream(c10::Stream::DEFAULT, d); }
  c10::Stream getStream(Device d) const override { return only(d); }
  c10::Stream getDefaultStream(Device d) const override { return only(d); }
  c10::Stream getNewStream(Device d, int = 0) const override { return only(d); }
  c10::Stream exchangeStream(c10::Stream s) const override { return only(s.device()); }
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override { tell("wait", "a stream"); }
  void synchronizeDevice(const DeviceIndex) const override { tell("wait", "a device"); }
  void record(void**, const c10::Stream&, const DeviceIndex, const c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, const DeviceIndex) const noexcept override {}
  void synchronizeEvent(void*) const override { tell("wait", "an event"); }
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

// Kernels draw from a generator of the CPU inside, with another seed: no test passes because the numbers are the CPU's.
struct Generator final : c10::GeneratorImpl {
  explicit Generator(DeviceIndex i)
      : c10::GeneratorImpl(Device(kPretend, i), DispatchKeySet(DispatchKey::PrivateUse1)),
        inner(at::detail::createCPUGenerator()) {
    set_current_seed(c10::default_rng_seed_val);
  }
  void set_current_seed(uint64_t seed) override { inner.set_current_seed((seed_ = seed) ^ 0x9E3779B97F4A7C15ULL); }
  uint64_t current_seed() const override { return seed_; }
  uint64_t seed() override {
    set_current_seed(c10::detail::getNonDeterministicRandom());
    return seed_;
  }
  void set_offset(uint64_t) override { TORCH_CHECK(false, "a generator of pretend has no offset"); }
  uint64_t get_offset() const override { TORCH_CHECK(false, "a generator of pretend has no offset"); }
  void set_state(const c10::TensorImpl& state) override { inner.unsafeGetGeneratorImpl()->set_state(state); }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override { return inner.unsafeGetGeneratorImpl()->get_state(); }
  Generator* clone_impl() const override {
    auto* made = new Generator(device_.index());
    made->seed_ = seed_;
    made->inner = inner.clone();
    return made;
  }
  at::Generator inner;

 private:
  uint64_t seed_ = 0;
};

const at::Generator& default_generator(DeviceIndex i) {
  static const std::vector<at::Generator> all{at::make_generator<Generator>(0), at::make_generator<Generator>(1)};
  return all.at(i < 0 ? current : i);
}

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  DeviceIndex deviceCount() const override { return kDevices; }
  void setCurrentDevice(DeviceIndex i) const override { current = i; }
  DeviceIndex getCurrentDevice() const override { return current; }
  DeviceIndex exchangeDevice(DeviceIndex i) const override { return std::exchange(current, i); }
  DeviceIndex maybeExchangeDevice(DeviceIndex i) const override { return i < 0 ? current : std::exchange(current, i); }
  const at::Generator& getDefaultGenerator(DeviceIndex i) const override { return default_generator(i); }
  at::Generator getNewGenerator(DeviceIndex i) const override {
    return at::make_generator<Generator>(i < 0 ? current : i);
  }
  Device getDeviceFromPtr(void*) const override { return {kPretend, current}; }
  at::Allocator* getPinnedMemoryAllocator() const override { return at::GetAllocator(at::kCPU); }
  void resizePrivateUse1Bytes(const Storage& storage, size_t bytes) const override {
    auto fresh = memory.allocate(bytes);
    if (storage.data()) std::memcpy(fresh.get(), storage.data(), std::min(bytes, storage.nbytes()));
    storage.unsafeGetStorageImpl()->set_data_ptr_noswap(std::move(fresh));
    storage.unsafeGetStorageImpl()->set_nbytes(bytes);
  }
};

// Operators with a kernel of their own: memory, views, copies ------------------------------------------------------------

void check_float64(std::optional<c10::ScalarType> dtype) {
  TORCH_CHECK_TYPE(!no_float64 || (dtype != at::kDouble && dtype != at::kComplexDouble),
                   "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64. "
                   "Please use float32 instead.");
}

Tensor empty_memory_format(
    c10::IntArrayRef size, std::optional<c10::ScalarType> dtype, std::optional<c10::Layout>,
    std::optional<Device> device, std::optional<bool> pin, std::optional<c10::MemoryFormat> format) {
  TORCH_CHECK(!pin.value_or(false), "Only dense CPU tensors can be pinned");
  check_float64(dtype);
  const c10::DeviceGuard guard(c10::device_or_default(device));
  return at::detail::empty_generic(
      size, &memory, DispatchKeySet(DispatchKey::PrivateUse1), c10::dtype_or_default(dtype), format);
}

Tensor empty_strided(
    c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<c10::ScalarType> dtype, std::optional<c10::Layout>,
    std::optional<Device> device, std::optional<bool>) {
  check_float64(dtype);
  const c10::DeviceGuard guard(c10::device_or_default(device));
  return at::detail::empty_strided_generic(
      size, stride, &memory, DispatchKeySet(DispatchKey::PrivateUse1), c10::dtype_or_default(dtype));
}

Tensor as_strided(
    const Tensor& self, c10::SymIntArrayRef size, c10::SymIntArrayRef stride, std::optional<c10::SymInt> offset) {
  return at::cpu::as_strided_symint(self, size, stride, std::move(offset));
}
Tensor view(const Tensor& self, c10::SymIntArrayRef size) {
  return at::native::view(self, C10_AS_INTARRAYREF_SLOW(size));
}
Tensor reshape_alias(const Tensor& self, c10::SymIntArrayRef size, c10::SymIntArrayRef stride) {
  return at::native::_reshape_alias(self, C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride));
}
const Tensor& resize_(const Tensor& self, c10::SymIntArrayRef size, std::optional<c10::MemoryFormat> format) {
  const c10::DeviceGuard guard(self.device());
  return at::native::resize_(self, C10_AS_INTARRAYREF_SLOW(size), format);
}
Tensor& set_storage(Tensor& self, Storage source) { return at::native::set_(self, std::move(source)); }
Tensor& set_tensor(Tensor& self, const Tensor& source) { return at::native::set_tensor_(self, source); }
Tensor& set_strided(
    Tensor& self, Storage source, int64_t offset, c10::IntArrayRef size, c10::IntArrayRef stride) {
  return at::cpu::set_(self, std::move(source), offset, size, stride);
}

Tensor copy_from(const Tensor& self, const Tensor& to, bool non_blocking) {
  if (ours(self) != ours(to) && self.numel() > 0 && !non_blocking) {
    tell(ours(self) ? "read" : "write", std::string("copy of ") + c10::toString(self.scalar_type()));
  }
  Mirror mirror;
  mirror.host(to).copy_(mirror.host(self));
  return to;
}
Tensor copy_from_and_resize(const Tensor& self, const Tensor& to) {
  to.resize_(self.sizes()).copy_(self);
  return to;
}
c10::Scalar local_scalar_dense(const Tensor& self) {
  tell("read", "item");
  return at::native::_local_scalar_dense_cpu(Mirror().host(self));
}

// Other devices than CPU and CUDA bring their own convolution.
void check_convolution(const Tensor& x, const Tensor& other, const char* what) {
  TORCH_CHECK(!other.defined() || x.device() == other.device(), "Input type (", x.toString(), ") and ", what, " type (",
              other.toString(), ") should be the same");
}
Tensor convolution(
    const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias, c10::IntArrayRef stride,
    c10::IntArrayRef padding, c10::IntArrayRef dilation, bool transposed, c10::IntArrayRef output_padding,
    int64_t groups) {
  const Tensor b = bias.value_or(Tensor());
  check_convolution(x, weight, "weight");
  check_convolution(x, b, "bias");
  Mirror mirror;
  const auto made = at::convolution(mirror.host(x), mirror.host(weight), mirror.host(b), stride, padding, dilation,
                                    transposed, output_padding, groups);
  return mirror.device(made, x.device());
}
std::tuple<Tensor, Tensor, Tensor> convolution_backward(
    const Tensor& gradient, const Tensor& x, const Tensor& weight, c10::IntArrayRef stride, c10::IntArrayRef padding,
    c10::IntArrayRef dilation, bool transposed, c10::IntArrayRef output_padding, int64_t groups,
    std::array<bool, 3> mask) {
  check_convolution(x, weight, "weight");
  Mirror mirror;
  const std::vector<int64_t> bias{transposed ? weight.size(1) * groups : weight.size(0)};
  const auto [of_x, of_weight, of_bias] =
      at::convolution_backward(mirror.host(gradient), mirror.host(x), mirror.host(weight), bias, stride, padding,
                               dilation, transposed, output_padding, groups, mask);
  return {mirror.device(of_x, x.device()), mirror.device(of_weight, x.device()), mirror.device(of_bias, x.device())};
}

// All other operators ----------------------------------------------------------------------------------------------------

const Names indexing{"aten::index", "aten::_index_put_impl_", "aten::index_put", "aten::index_put_",
                     "aten::_unsafe_index", "aten::_unsafe_index_put"};
const Names products{"aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm",
                     "aten::mv", "aten::dot", "aten::addmv", "aten::addbmm"};
// The host needs the size of the result, or whether there was an error.
const Names reading{"aten::nonzero", "aten::masked_select", "aten::_unique", "aten::_unique2", "aten::unique_dim",
                    "aten::unique_consecutive", "aten::unique_dim_consecutive", "aten::bincount", "aten::histc",
                    "aten::repeat_interleave", "aten::equal", "aten::multinomial", "aten::_linalg_eigh",
                    "aten::_linalg_svd", "aten::linalg_lstsq", "aten::linalg_eig"};

// Apply `change` to the tensors of an argument or result.
template <class Change>
void each(IValue& slot, const Change& change) {
  if (slot.isTensor()) {
    slot = change(slot.toTensor());
  } else if (slot.isTensorList()) {
    c10::List<Tensor> changed;
    for (const Tensor& t : slot.toTensorVector()) changed.push_back(change(t));
    slot = changed;
  } else if (slot.isOptionalTensorList()) {
    c10::List<std::optional<Tensor>> changed;
    for (const auto& t : slot.toOptionalTensorVector()) {
      changed.push_back(t ? std::optional<Tensor>(change(*t)) : std::nullopt);
    }
    slot = changed;
  }
}

bool is_generator(const c10::Argument& argument) {
  const auto& type = argument.type();
  return type->kind() == c10::TypeKind::GeneratorType ||
      (type->kind() == c10::TypeKind::OptionalType &&
       type->expectRef<c10::OptionalType>().getElementType()->kind() == c10::TypeKind::GeneratorType);
}

void check_devices(const c10::FunctionSchema& schema, const std::vector<IValue>& given) {
  const auto& name = schema.name();
  const auto full = schema.overload_name().empty() ? name : name + "." + schema.overload_name();
  const bool indexes = indexing.count(name), lax = indexes || unchecked.count(full);
  std::optional<Device> common;
  for (const auto i : c10::irange(given.size())) {
    const auto& argument = schema.arguments()[i];
    if (argument.kwarg_only() && !argument.is_out()) continue;
    IValue slot = given[i];
    const bool index = indexes && !slot.isTensor();
    each(slot, [&](const Tensor& t) {
      if (!t.defined() || (lax && t.device().is_cpu() && (t.dim() == 0 || index))) return t;
      if (!common) common = t.device();
      TORCH_CHECK(*common == t.device(), "Expected all tensors to be on the same device, but ",
                  lax ? "found at least two devices, " : "got " + argument.name() + " is on another: ", *common, " and ",
                  t.device(), "! (", full, ")");
      return t;
    });
  }
}

void check_integers(const c10::FunctionSchema& schema, const std::vector<IValue>& given) {
  if (!products.count(schema.name())) return;
  for (const auto& v : given) {
    TORCH_CHECK_NOT_IMPLEMENTED(
        !v.isTensor() || !v.toTensor().defined() || !c10::isIntegralType(v.toTensor().scalar_type(), true),
        "\"addmm_cuda\" not implemented for '", v.toTensor().scalar_type(), "'");
  }
}

// What CUDA's kernel of index_put does first: a mask becomes the nonzero() of it, and what is of the CPU is copied.
// Indices of aten::index come after that.
void tell_of_index_put(const Tensor& t, bool index) {
  const bool mask = t.scalar_type() == at::kBool || t.scalar_type() == at::kByte;
  if (!ours(t)) {
    tell("write", "index_put of the CPU");
  } else if (index && mask) {
    tell("read", "index_put by a mask");
  }
}

void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const auto& schema = op.schema();
  const auto& name = schema.name();
  const auto& arguments = schema.arguments();
  auto* const slots = stack->data() + stack->size() - arguments.size();
  const std::vector<IValue> given(slots, slots + arguments.size());
  check_devices(schema, given);
  check_integers(schema, given);
  if (reading.count(name)) tell("read", name);

  // To the CPU.
  Mirror mirror;
  std::optional<Device> where;
  std::vector<std::pair<Tensor, Tensor>> written;  // What the kernel may resize: the device's, and the CPU's.
  for (const auto i : c10::irange(arguments.size())) {
    const auto* alias = arguments[i].alias_info();
    const bool puts = name == "aten::_index_put_impl_" && i > 0;  // The first is what is written to.
    each(slots[i], [&](const Tensor& t) {
      if (puts && t.defined()) tell_of_index_put(t, /*index=*/i == 1);
      const Tensor host = mirror.host(t);
      if (ours(t)) {
        if (!where) where = t.device();
        if (alias && alias->isWrite()) written.emplace_back(t, host);
      }
      return host;
    });
    if (slots[i].isDevice()) {
      where = slots[i].toDevice();
      slots[i] = Device(at::kCPU);
    }
  }
  // A tensor of the CPU comes here by nothing but a generator of this device.
  TORCH_CHECK(where && where->type() == kPretend, "Expected a 'cpu' device type for generator but found 'pretend' (", name, ")");
  if (!where->has_index()) where = Device(kPretend, current);
  for (const auto i : c10::irange(arguments.size())) {
    if (!is_generator(arguments[i])) continue;
    const at::Generator draw = slots[i].isNone() ? default_generator(where->index()) : slots[i].toGenerator();
    TORCH_CHECK(draw.device().type() == kPretend, "Expected a 'pretend' device type for generator but found '",
                draw.device().type(), "' (", name, ")");
    slots[i] = static_cast<Generator*>(draw.unsafeGetGeneratorImpl())->inner;
  }

  op.redispatchBoxed(DispatchKeySet(DispatchKey::CPU), stack);

  // And back.
  for (const auto& [device, host] : written) {
    auto* impl = device.unsafeGetTensorImpl();
    if (host.storage().data() != device.storage().data()) {
      impl->set_storage_keep_dtype(over(host.storage(), device.device(), &memory));
    }
    if (host.sizes() != device.sizes() || host.strides() != device.strides()) {
      impl->set_sizes_and_strides(host.sizes(), host.strides(), host.storage_offset());
    }
  }
  const auto& returns = schema.returns();
  auto* const results = stack->data() + stack->size() - returns.size();
  for (const auto r : c10::irange(returns.size())) {
    const auto* alias = returns[r].alias_info();
    if (!alias || !alias->isWrite()) {
      each(results[r], [&](const Tensor& t) { return mirror.device(t, *where); });
      continue;
    }
    for (const auto i : c10::irange(arguments.size())) {  // What was written to is what is returned.
      const auto* of = arguments[i].alias_info();
      if (of && *of == *alias) results[r] = given[i];
    }
  }
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>()); }
TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty_memory_format);
  m.impl("empty_strided", empty_strided);
  m.impl("as_strided", as_strided);
  m.impl("view", view);
  m.impl("_reshape_alias", reshape_alias);
  m.impl("resize_", resize_);
  m.impl("set_.source_Storage", set_storage);
  m.impl("set_.source_Tensor", set_tensor);
  m.impl("set_.source_Storage_storage_offset", set_strided);
  m.impl("_copy_from", copy_from);
  m.impl("_copy_from_and_resize", copy_from_and_resize);
  m.impl("_local_scalar_dense", local_scalar_dense);
  m.impl("convolution_overrideable", convolution);
  m.impl("convolution_backward_overrideable", convolution_backward);
  // CUDA has kernels of its own for these, where a device without gets a composition of other operators.
  m.impl("native_group_norm", torch::CppFunction::makeFromBoxedFunction<&fallback>());
  m.impl("native_layer_norm", torch::CppFunction::makeFromBoxedFunction<&fallback>());
}

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  at::RegisterPrivateUse1HooksInterface(new Hooks);
  m.attr("device_count") = static_cast<int>(kDevices);
  m.def("unchecked", [](const std::vector<std::string>& names) { unchecked = {names.begin(), names.end()}; });
  m.def("no_float64", [](bool none) { no_float64 = none; });
  m.def("watch", [](py::object function) {
    watched = false;
    const bool some = !function.is_none();
    watcher = new py::object(std::move(function));
    watched = some;
  });
  m.def("default_generator", [](int i) { return default_generator(static_cast<DeviceIndex>(i)); });
  m.def("current_device", [] { return static_cast<int>(current); });
  m.def("set_device", [](int i) { Guard().setDevice({kPretend, static_cast<DeviceIndex>(i)}); });
}
