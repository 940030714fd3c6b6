# SPDX-License-Identifier: MIT
# Parameter groups: the Values that an optimiser updates by the same settings, these settings, and the moments.
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from headers.program cimport ADAM, ADAMW, Level, ParameterGroup, Rule, SGD, group_begin_step
from headers.state cimport *
from headers.tape cimport *
from .executors cimport level_in_use
from .handles cimport anchor_of, find_places, is_handle
from .numbers cimport as_number, kind, mixed
from .recording cimport refuse_traced

import operator
from collections.abc import MutableMapping

# -- settings ---------------------------------------------------------------------------------------

cdef enum:
    LONG_SPAN = 64      # numbers side by side that are worth a call of a rule of their own

cdef double setting_number(str name, value) except? -1:
    cdef double number = 0
    if not as_number(value, &number):
        raise TypeError(f'{name}: expected a number, got {kind(value)}')
    return number

cdef double at_least_zero(str name, value) except? -1:
    cdef double number = setting_number(name, value)
    if not number >= 0:
        raise ValueError(f'{name}: expected at least 0, got {value!r}')
    return number

cdef bint setting_switch(str name, value) except -1:
    cdef double number = -1
    if not as_number(value, &number) or number not in (0.0, 1.0):
        raise TypeError(f'{name}: expected True or False, got {value!r}')
    return number == 1.0

cdef double *number_in(Rule *rule, str name) noexcept:
    """Where the setting of this name is, if it is one number."""
    if name == 'lr':
        return &rule.lr
    if name == 'momentum':
        return &rule.momentum
    if name == 'weight_decay':
        return &rule.weight_decay
    return &rule.eps if name == 'eps' else NULL

cdef int *switch_in(Rule *rule, str name) noexcept:
    """... or if it is on or off."""
    if name == 'nesterov':
        return &rule.nesterov
    if name == 'amsgrad':
        return &rule.amsgrad
    return &rule.maximize if name == 'maximize' else NULL

cdef int set_setting(Rule *rule, str name, value, str where='') except -1:
    """Checks one setting and writes it into a rule; `where` comes before its name in a message."""
    cdef double beta1, beta2
    cdef str what = where + name
    if number_in(rule, name) != NULL:
        number_in(rule, name)[0] = at_least_zero(what, value)
    elif switch_in(rule, name) != NULL:
        switch_in(rule, name)[0] = setting_switch(what, value)
    elif name == 'betas':
        if not isinstance(value, (list, tuple)) or len(value) != 2:
            raise TypeError(f'{what}: expected two numbers, got {value!r}')
        beta1, beta2 = setting_number(what, value[0]), setting_number(what, value[1])
        if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
            raise ValueError(f'{what}: expected numbers in [0, 1), got {value!r}')
        rule.beta1, rule.beta2 = beta1, beta2
    else:
        raise SystemError(f'no setting {name!r}')
    return 0

cdef object setting_of(Rule *rule, str name):
    if number_in(rule, name) != NULL:
        return number_in(rule, name)[0]
    if switch_in(rule, name) != NULL:
        return bool(switch_in(rule, name)[0])
    return rule.beta1, rule.beta2

cdef int check_rule(const Rule *rule, str where='') except -1:
    """What the settings have to be to each other."""
    if rule.nesterov and rule.momentum == 0:
        raise ValueError(f'{where}nesterov: expected a momentum above 0 with it')
    return 0

# -- groups -----------------------------------------------------------------------------------------

cdef list parameter_list(params, str where):
    """Values that may be parameters, each once."""
    cdef list values
    cdef set seen = set()
    if is_handle(params):
        params = [params]
    if isinstance(params, (set, frozenset)):
        raise TypeError(f'{where}params: expected Values in an order, got a {kind(params)}')
    values = list(params)
    for value in values:
        if not is_handle(value):
            raise TypeError(f'{where}params: expected Values, got {kind(value)}')
        if is_recording:
            refuse_traced(value, 'an optimizer')
        if tape.op[anchor_of(<PyObject *>value).index] & ~OP_CLOSURE != OP_leaf:
            raise ValueError(f'{where}params: expected leaves, got a result of {value._op!r}')
        if id(value) in seen:
            raise ValueError(f'{where}params: expected each Value once, got one twice')
        seen.add(id(value))
    return values

cdef class GroupCore:
    """A group with its settings as a mapping; ParamGroup has what follows from that."""

    def __cinit__(self, *args, **kwargs):
        self.members, self.names = [], ()

    def __dealloc__(self):
        free(self.work)
        free(self.places.spans)
        self.forget()

    cdef void forget(self) noexcept:
        free(self.group.moments.m)
        free(self.group.moments.v)
        free(self.group.moments.v_max)
        memset(&self.group.moments, 0, sizeof(self.group.moments))

    cdef int make_moments(self, const Rule *rule) except -1:
        """Those that the rule needs; new ones begin at 0."""
        if rule.kind != SGD or rule.momentum != 0:
            self.make_moment(&self.group.moments.m)
        if rule.kind != SGD:
            self.make_moment(&self.group.moments.v)
        if rule.amsgrad:
            self.make_moment(&self.group.moments.v_max)
        return 0

    cdef int make_moment(self, double **numbers) except -1:
        if numbers[0] == NULL:
            numbers[0] = <double *>calloc(<size_t>len(self.members) + 1, sizeof(double))
            if numbers[0] == NULL:
                raise MemoryError
        return 0

    cdef int assign(self, settings, str where, refusal) except -1:
        """Some of the settings, by name, all of them or none; `refusal`: the exception for a name that is none."""
        cdef Rule rule = self.group.rule
        initial_lr = self.initial_lr
        for name, value in settings.items():
            if name in self.names:
                set_setting(&rule, str(name), value, where)
            elif name == 'initial_lr':
                initial_lr = at_least_zero(f'{where}initial_lr', value)
            elif name != 'params':
                raise refusal(f'{where}{self.rule_name()} has no setting {name!r}; its settings are '
                              f'{", ".join(self.names)}')
            elif list(value) != self.members:
                raise ValueError(f'{where}params: the Values of a group stay the same; add_param_group() takes others')
        check_rule(&rule, where)
        self.make_moments(&rule)
        self.group.rule = rule
        self.initial_lr = initial_lr
        return 0

    cdef str rule_name(self):
        return {SGD: 'SGD', ADAM: 'Adam', ADAMW: 'AdamW'}[self.group.rule.kind]

    # -- the mapping --

    def __getitem__(self, name):
        if name in self.names:
            return setting_of(&self.group.rule, str(name))
        if name == 'params':
            return list(self.members)
        if name == 'initial_lr' and self.initial_lr is not None:
            return self.initial_lr
        raise KeyError(name)

    def __setitem__(self, name, value):
        self.assign({name: value}, '', KeyError)

    def __delitem__(self, name):
        if name not in self:
            raise KeyError(name)
        if name != 'initial_lr':
            raise TypeError(f'{name!r} of a parameter group cannot be deleted')
        self.initial_lr = None

    def __iter__(self):
        yield 'params'
        yield from self.names
        if self.initial_lr is not None:
            yield 'initial_lr'

    def __len__(self):
        return 1 + len(self.names) + (self.initial_lr is not None)

    def update(self, settings=(), /, **more):
        """update($self, settings=(), /, **more)\n--\n\nAssigns several settings, all of them or none."""
        self.assign(dict(settings, **more), '', KeyError)

    def __repr__(self):
        settings = ''.join([f', {name}={value}' for name, value in self.described().items()])
        return f'ParamGroup({len(self.members)} parameters{settings})'

    def __reduce_ex__(self, protocol):
        """A copy of a group is a plain dict, as an optimiser takes it."""
        return dict, (dict(self),)

    cdef dict described(self):
        """All but the parameters."""
        cdef dict found = {name: setting_of(&self.group.rule, name) for name in self.names}
        if self.initial_lr is not None:
            found['initial_lr'] = self.initial_lr
        return found

    # -- steps --

    cdef void step(self) noexcept:
        cdef size_t n = <size_t>PyList_GET_SIZE(self.members)
        find_places(&self.places, self.members, NULL)
        group_begin_step(&self.group)
        if self.places.n_spans * LONG_SPAN <= n:
            self.update_in_place()
        else:
            self.update_copies(n)

    cdef void update_in_place(self) noexcept:
        cdef const Level *level = level_in_use()
        cdef Span span
        for span in self.places.spans[:self.places.n_spans]:
            level.update(&self.group, tape.value + span.node, tape_adjoints(&tape, span.node, span.size), span.size,
                         span.place)

    cdef void update_copies(self, size_t n) noexcept:
        """All at once, side by side."""
        cdef double *p = self.work
        cdef double *g = self.work + n
        cdef Span span
        for span in self.places.spans[:self.places.n_spans]:
            tape_copy(p + span.place, tape.value + span.node, span.size)
            tape_copy(g + span.place, tape_adjoints(&tape, span.node, span.size), span.size)
        level_in_use().update(&self.group, p, g, n, 0)
        for span in self.places.spans[:self.places.n_spans]:
            tape_copy(tape.value + span.node, p + span.place, span.size)

    cdef void zero_grad(self) noexcept:
        cdef Span span
        find_places(&self.places, self.members, NULL)
        for span in self.places.spans[:self.places.n_spans]:
            tape_clear_adjoints(&tape, span.node, span.size)

    # -- state --

    cdef uint64_t fingerprint(self, uint64_t mark) noexcept:
        """What tells its parameters and moments from others, mixed into a mark."""
        cdef Py_ssize_t k, n = PyList_GET_SIZE(self.members)
        cdef double *moments[3]
        cdef int which
        self.moments(moments)
        mark = mixed(mixed(mark, <double>n), <double>self.group.moments.steps)
        for k in range(n):
            mark = mixed(mark, tape.value[anchor_of(PyList_GET_ITEM(self.members, k)).index])
        for which in range(3):
            if moments[which] != NULL:
                for k in range(n):
                    mark = mixed(mark, moments[which][k])
        return mark

    cdef void moments(self, double **numbers) noexcept:
        numbers[0], numbers[1], numbers[2] = self.group.moments.m, self.group.moments.v, self.group.moments.v_max

    cdef list moment_names(self):
        """What a state calls them."""
        return ['momentum_buffer'] if self.group.rule.kind == SGD else ['exp_avg', 'exp_avg_sq', 'max_exp_avg_sq']

    cdef int add_state(self, dict state, Py_ssize_t first) except -1:
        """Adds steps and moments of each parameter, of which the first has this place."""
        cdef double *moments[3]
        cdef Py_ssize_t k, j
        self.moments(moments)
        for k in range(len(self.members) if self.group.moments.steps else 0):
            entries = state[first + k] = {'step': self.group.moments.steps}
            for j, name in enumerate(self.moment_names()):
                if moments[j] != NULL:
                    entries[name] = moments[j][k]
        return 0

    cdef GroupCore loaded(self, dict settings, list places, dict state, str where):
        """A group of this size with the settings and the moments that a state has."""
        cdef GroupCore new = GroupCore.__new__(GroupCore)
        new.members, new.names, new.group.rule = self.members, self.names, self.group.rule
        if settings.keys() - {'initial_lr'} != set(self.names):
            raise ValueError(f'{where}expected the settings {", ".join(self.names)} of {self.rule_name()}, '
                             f'got {", ".join(map(str, settings))}')
        new.assign(settings, where, ValueError)
        new.load_moments(state, places, where)
        return new

    cdef int load_moments(self, dict state, list places, str where) except -1:
        cdef list names = self.moment_names()
        cdef double **moments[3]
        cdef Py_ssize_t k, j
        steps = set()
        moments[0], moments[1] = &self.group.moments.m, &self.group.moments.v
        moments[2] = &self.group.moments.v_max
        known = [place for place in places if place in state]
        if known and len(known) != len(places):
            raise ValueError(f'{where}expected a state for each parameter or for none')
        for k in range(len(known)):
            entries = state[places[k]]
            if not isinstance(entries, dict):
                raise TypeError(f'{where}expected a dict of each parameter, got {kind(entries)}')
            step = entries.get('step', 1)
            if not hasattr(type(step), '__index__'):
                raise TypeError(f'{where}step: expected a whole number, got {kind(step)}')
            steps.add(operator.index(step))
            for name, number in entries.items():
                if name == 'step':
                    continue
                if name not in names:
                    raise ValueError(f'{where}expected step, {", ".join(names)} of a parameter, got {name!r}')
                if number is None:      # what PyTorch writes for no momentum
                    continue
                number = setting_number(f'{where}{name}', number)
                j = names.index(name)   # kept, though the rule may not use it at present
                self.make_moment(moments[j])
                moments[j][0][k] = number
        if len(steps) > 1 or not 0 <= min(steps, default=0) < 2**64:
            raise ValueError(f'{where}expected one number of steps for all parameters of a group, from 0 to 2**64 - 1; '
                             f'got {sorted(steps)}')
        self.group.moments.steps = steps.pop() if steps else 0
        return 0

    cdef void take_over(self, GroupCore other) noexcept:
        """What another of this size has; that one gets what was here, and frees it."""
        self.group, other.group = other.group, self.group
        self.initial_lr = other.initial_lr

class ParamGroup(GroupCore, MutableMapping):
    """Parameters and their settings, as one dict of PyTorch's param_groups: group["lr"] = 0.1.

    Each setting is checked when it is assigned, and decides the next step. 'params' gives a list of
    the Values, which stay the same; 'initial_lr' is there when a scheduler has worked on it.
    """
    __slots__ = ()

cdef GroupCore made_group(const Rule *defaults, tuple names, params, settings, str where):
    """A new one: Values, and settings where they differ from the defaults."""
    cdef GroupCore made = ParamGroup()
    cdef size_t n
    made.members, made.names = parameter_list(params, where), names
    n = <size_t>len(made.members)
    made.work = <double *>calloc(2 * n + 1, sizeof(double))
    made.places.spans = <Span *>calloc(n + 1, sizeof(Span))
    if made.work == NULL or made.places.spans == NULL:
        raise MemoryError
    made.group.rule = defaults[0]
    made.assign(settings, where, ValueError)
    return made
