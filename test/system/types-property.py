"""Message types and messages of pip rosbags, decoded by us: equal.

Every type of rosbags' Jazzy store has the type hash our embedded table gives. Random types are read
as .msg, as IDL and from a type description with one hash; random messages of them, serialized by
rosbags in both byte orders, have the same values in our JSON and in our YAML.
"""
import json
import math

import numpy as np
import yaml
import rosbags.typesys.store
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

import bp
from decoder import DecodeError, Decoder

# rosbags has byte signed, ROS unsigned: values both agree on
PRIMS = {"bool": None, "byte": (0, 127), "char": (0, 255), "int8": (-2**7, 2**7 - 1), "uint8": (0, 2**8 - 1),
         "int16": (-2**15, 2**15 - 1), "uint16": (0, 2**16 - 1), "int32": (-2**31, 2**31 - 1),
         "uint32": (0, 2**32 - 1), "int64": (-2**63, 2**63 - 1), "uint64": (0, 2**64 - 1),
         "float32": None, "float64": None, "string": None}
IDL = {"bool": "boolean", "byte": "octet", "char": "uint8", "float32": "float", "float64": "double"}
IDS = {"int8": 2, "uint8": 3, "int16": 4, "uint16": 5, "int32": 6, "uint32": 7, "int64": 8, "uint64": 9,
       "float32": 10, "float64": 11, "char": 3, "bool": 15, "byte": 16, "string": 17}
NUMPY = {"bool": np.bool_, "byte": np.uint8, "char": np.uint8}
LINE = "=" * 80 + "\n"
# rosbags takes a .msg's char for IDL's; rosidl makes it uint8, as the hashes of real systems show
rosbags.typesys.store.TIDMAP["char"] = rosbags.typesys.store.TIDMAP["uint8"]


class Field:
    def __init__(self, rnd, i, structs):
        self.name = rnd.choice("abcdefgh") + rnd.choice(["", "_x", "9"]) + f"{i}"
        self.prim = rnd.choice(list(PRIMS))
        self.struct = rnd.choice(structs) if structs and rnd.random() < 0.4 else None
        self.array, self.bound = rnd.choice([(None, 0)] * 3 + [("fixed", rnd.randint(1, 5)), ("seq", 0),
                                                                ("bounded", rnd.randint(1, 5))])
        self.string_bound = rnd.randint(1, 20) if not self.struct and self.prim == "string" and rnd.random() < .3 else 0

    def msg(self):
        array = {None: "", "fixed": f"[{self.bound}]", "seq": "[]", "bounded": f"[<={self.bound}]"}[self.array]
        base = self.struct.name.replace("/msg/", "/") if self.struct else self.prim
        return f"{base}{f'<={self.string_bound}' if self.string_bound else ''}{array} {self.name}\n"

    def idl(self):
        base = self.struct.name.replace("/", "::") if self.struct else IDL.get(self.prim, self.prim)
        base += f"<{self.string_bound}>" if self.string_bound else ""
        if self.array == "fixed":  # rosidl makes a typedef of it
            return f"typedef {base} {self.name}__t[{self.bound}];\n", f"{self.name}__t {self.name};\n"
        if self.array:
            base = f"sequence<{base}{f', {self.bound}' if self.bound else ''}>"
        return "", f"@verbatim (language=\"comment\", text=\"; }} (\")\n{base} {self.name};\n"

    def description(self, t):
        kind = 1 if self.struct else 21 if self.string_bound else IDS[self.prim]
        kind += {None: 0, "fixed": 48, "bounded": 96, "seq": 144}[self.array]
        return t("Field")(self.name, t("FieldType")(kind, self.bound, self.string_bound,
                                                    self.struct.name if self.struct else ""), "")


class Type:
    def __init__(self, rnd, name, structs):
        self.name = name
        self.fields = [Field(rnd, i, structs) for i in range(rnd.choice([0, 1, 2, 3, 5, 9]))]

    def refs(self, seen=None):
        seen = {} if seen is None else seen
        for f in self.fields:
            if f.struct and f.struct.name not in seen:
                seen[f.struct.name] = f.struct
                f.struct.refs(seen)
        return seen

    def own_msg(self):
        return "".join(f.msg() for f in self.fields)

    def msg(self):
        return self.own_msg() + "".join(f"{LINE}MSG: {r.name.replace('/msg/', '/')}\n{r.own_msg()}"
                                        for r in self.refs().values())

    def own_idl(self):
        pkg, _, short = self.name.split("/")
        parts = [f.idl() for f in self.fields] or [("", "uint8 structure_needs_at_least_one_member;\n")]
        return (f"module {pkg} {{ module msg {{\n{''.join(p[0] for p in parts)}struct {short} {{\n"
                f"{''.join(p[1] for p in parts)}}};\n}}; }};\n")

    def idl(self):
        return "".join(f"{LINE}IDL: {t.name}\n{t.own_idl()}" for t in [self, *self.refs().values()])

    def description(self, t):
        fields = [f.description(t) for f in self.fields]
        if not fields:
            fields = [t("Field")("structure_needs_at_least_one_member", t("FieldType")(3, 0, 0, ""), "")]
        return t("IndividualTypeDescription")(self.name, fields)


def scalar(rnd, f):
    if f.prim == "bool":
        return rnd.random() < 0.5
    if f.prim == "string":
        n = rnd.randint(0, f.string_bound or 12)
        return "".join(rnd.choice("ab c/_:#'\"\\-0é😀\n\t\x07") for _ in range(n))
    if f.prim.startswith("float"):
        v = rnd.choice([0.0, -0.0, 1.5, 1e22, 1e-7, math.nan, math.inf, rnd.gauss(0, 1), rnd.gauss(0, 1e9),
                        rnd.uniform(-1, 1) * 10 ** rnd.randint(-30, 30)])
        return float(np.float32(v)) if f.prim == "float32" else v
    low, high = PRIMS[f.prim]
    return rnd.choice([low, high, rnd.randint(low, high)])


def value(rnd, store, f):
    one = (lambda: message(rnd, store, f.struct)) if f.struct else (lambda: scalar(rnd, f))
    if not f.array:
        return one()
    n = f.bound if f.array == "fixed" else rnd.randint(0, f.bound or rnd.choice([2, 7, 40]))
    items = [one() for _ in range(n)]
    if f.struct or f.prim == "string":
        return items
    return np.array(items, dtype=NUMPY.get(f.prim) or np.dtype(f.prim))


def message(rnd, store, t):
    if not t.fields:
        return store.types[t.name]()
    return store.types[t.name](*(value(rnd, store, f) for f in t.fields))


def plain(m, t, number):
    """What a reader should see: dicts, lists, and number(value, primitive)."""
    def item(v, f):
        if f.struct:
            return plain(v, f.struct, number)
        return v if f.prim == "string" else bool(v) if f.prim == "bool" else number(v, f.prim)
    out = {}
    for f in t.fields:
        v = getattr(m, f.name)
        out[f.name] = [item(x, f) for x in v] if f.array else item(v, f)
    return out


def as_json(v, prim):
    if prim.startswith("float"):
        return float(v) if math.isfinite(v) else None
    return str(int(v)) if prim.endswith("int64") else int(v)


def same(a, b):
    """Equal, NaN being itself and a float32 what its shortest text says."""
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, tuple):
        return same(a[0], float(np.float32(b)))
    if isinstance(a, float):
        return isinstance(b, float) and (a == b or (a != a and b != b))
    return type(a) is type(b) and a == b


def known_types(d):
    store, n = get_typestore(Stores.ROS2_JAZZY), 0
    for name in store.types:
        try:
            ours = d.known_hash(name)
        except DecodeError as e:
            bp.fail(f"{name}: {e}")
            continue
        bp.check(ours == store.hash_rihs01(name), f"{name}: hash {ours}")
        n += 1
    for name, want in json.loads((bp.DATA / "rihs01-jazzy.json").read_text()).items():
        bp.check(d.known_hash(name) == want, f"{name}: hash of the real system")
        n += 1
    bp.say(f"{n} type hashes compared")


def description(store, t):
    part = lambda n: store.types[f"type_description_interfaces/msg/{n}"]
    refs = [r.description(part) for r in t.refs().values()]
    m = store.types["x/msg/Answer"](True, "", part("TypeDescription")(t.description(part), refs), [], [])
    return bytes(store.serialize_cdr(m, "x/msg/Answer"))


def one_type(rnd, d, k):
    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(get_types_from_msg("bool a\nstring b\ntype_description_interfaces/TypeDescription c\n"
                                      "type_description_interfaces/TypeSource[] d\n"
                                      "type_description_interfaces/KeyValue[] e\n", "x/msg/Answer"))
    structs = []
    for i in range(rnd.randint(1, 5)):
        structs.append(Type(rnd, f"{rnd.choice(['p', 'q_r'])}/msg/T{i}", list(structs)))
    top = structs[-1]
    for t in structs:
        store.register(get_types_from_msg(t.own_msg(), t.name))

    d.schema(top.name, "ros2idl", top.idl())
    from_idl = d.hash()
    d.schema(top.name, "ros2msg", d.from_description(top.name, from_idl, description(store, top)))
    from_description = d.hash()
    d.schema(top.name, "ros2msg", top.msg())
    want = store.hash_rihs01(top.name)
    bp.check(from_idl == want and from_description == want and d.hash() == want,
             f"type {k}: hashes differ\n{top.msg()}")
    return store, top


def one_message(rnd, d, store, top):
    m = message(rnd, store, top)
    cdr = bytes(store.serialize_cdr(m, top.name, little_endian=rnd.random() < 0.7))
    got = json.loads(d.json(cdr))
    want = plain(m, top, as_json)
    # JSON's 0 and 1e22 are integers to Python
    bp.check(same(numbers(want), numbers(got)), f"JSON differs\n{top.msg()}\n{want}\n{got}")
    text = yaml.safe_load(d.text(cdr))
    want = plain(m, top, lambda v, p: (float(v),) if p == "float32" else float(v) if p == "float64" else int(v))
    bp.check(same(want, text), f"YAML differs\n{top.msg()}\n{want}\n{text}")
    broken = bytearray(cdr)
    for _ in range(rnd.randint(1, 4)):
        broken[rnd.randrange(len(broken))] = rnd.randrange(256)
    for bad in (bytes(broken), cdr[:rnd.randrange(len(cdr))]):
        try:  # an answer or an error, never an end
            d.json(bad)
        except DecodeError:
            pass


def numbers(v):
    if isinstance(v, dict):
        return {k: numbers(x) for k, x in v.items()}
    if isinstance(v, list):
        return [numbers(x) for x in v]
    return float(v) if isinstance(v, int) and not isinstance(v, bool) else v


def run():
    d, rnd = Decoder(), bp.seeded()
    known_types(d)
    types = bp.amount(200, 4000)
    for k in range(types):
        store, top = one_type(rnd, d, k)
        for _ in range(5):
            one_message(rnd, d, store, top)
        if bp.failures() > 5:
            break
    bp.say(f"{types} random types, {5 * types} random messages")


bp.main(run)
