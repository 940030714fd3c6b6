# SPDX-License-Identifier: MIT
# The core of optim's classes: parameter groups under one roof, steps, and their state as a dict.
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from headers.objects cimport PyObject_GenericSetAttr, TYPE_OF, _PyType_Lookup
from headers.program cimport ADAM, ADAMW, Rule, SGD, Stretch, gradients_clip, gradients_norm
from headers.state cimport *
from headers.tape cimport *
from .groups cimport GroupCore, check_rule, made_group, set_setting, setting_of
from .handles cimport Places, find_places, is_handle
from .numbers cimport kind
from .recording cimport check_change

import copyreg
import math
import types

cdef list values_of(list groups):
    """Of all groups, each once."""
    cdef GroupCore group
    cdef list values = []
    for group in groups:
        values += group.members
    if len(set(map(id, values))) < len(values):
        raise ValueError('params: some Values appear in more than one parameter group')
    return values

cdef class Optimizer:
    """What the classes of optim have in common: the rule, the parameters, and their moments.

    A class names its rule in _rule, and its settings in _settings: those that all have, below, and its own.
    """

    def __cinit__(self, *args, **kwargs):
        self.groups, self.values = [], []

    def __setattr__(self, name, value):
        """__setattr__($self, name, value, /)\n--\n\nAssigns a setting, which decides the next step. AttributeError for what is none."""
        if _PyType_Lookup(TYPE_OF(<PyObject *>self), <PyObject *>name) == NULL:
            raise AttributeError(f'{type(self).__name__} has no setting {name!r}; its settings are '
                                 f'{", ".join(self._settings)}')
        PyObject_GenericSetAttr(<PyObject *>self, <PyObject *>name, <PyObject *>value)

    def __delattr__(self, name):
        """__delattr__($self, name, /)\n--\n\nA setting cannot be deleted: AttributeError."""
        if name not in vars(self):
            raise AttributeError(f'{type(self).__name__}.{name} cannot be deleted')
        del vars(self)[name]

    # -- groups and settings --

    def _set_up(self, params, dict settings):
        """Takes the parameters and the settings, and starts afresh."""
        cdef Rule defaults
        cdef list given, groups, values
        memset(&defaults, 0, sizeof(defaults))
        defaults.kind = {'SGD': SGD, 'Adam': ADAM, 'AdamW': ADAMW}[self._rule]
        for name in self._settings:
            set_setting(&defaults, name, settings[name])
        if is_handle(params) or isinstance(params, dict):
            raise TypeError(f'params: expected an iterable of Values, or of dicts with them, got a {kind(params)}')
        given = list(params)
        if not given:
            raise ValueError('params: expected at least one Value, got none')
        if is_group(given[0]):
            groups = [self.new_group(each, k, &defaults) for k, each in enumerate(given)]
        else:
            groups = [made_group(&defaults, self._settings, given, {}, '')]
        values = values_of(groups)
        self.check_idle('__init__')
        self.defaults_rule = defaults
        self.take(groups, values)

    cdef void take(self, list groups, list values) noexcept:
        cdef list groups_before = self.groups, values_before = self.values
        # These last until all is in place: what ends with them may make a step.
        self.groups, self.values = groups, values

    cdef GroupCore new_group(self, given, Py_ssize_t k, const Rule *defaults):
        """One that is given as a dict, to be the k-th."""
        cdef dict settings
        where = f'group {k}: '
        if not is_group(given):
            raise TypeError(f"{where}expected a dict with 'params', got {kind(given)}")
        settings = dict(given)
        if 'params' not in settings:
            raise ValueError(f"{where}expected a dict with 'params', got {', '.join(map(str, settings)) or 'none'}")
        params = settings.pop('params')
        return made_group(defaults, self._settings, params, settings, where)

    def add_param_group(self, param_group):
        """Takes one more group: a dict with 'params', and settings where they are not the defaults."""
        cdef list groups, values
        self.check_set_up('add_param_group')
        group = self.new_group(param_group, len(self.groups), &self.defaults_rule)
        groups = self.groups + [group]
        values = values_of(groups)
        self.check_idle('add_param_group')
        self.take(groups, values)

    @property
    def param_groups(self):
        """The parameter groups, each a mapping from 'params' and names of settings: a tuple, which
        add_param_group() makes longer."""
        return tuple(self.groups)

    @property
    def defaults(self):
        """The settings of a group that says nothing else, to be read."""
        return types.MappingProxyType({name: setting_of(&self.defaults_rule, name) for name in self._settings})

    def _each(self, str name):
        """The setting of each group."""
        cdef GroupCore group
        return [setting_of(&group.group.rule, name) for group in self.groups]

    def _set_each(self, str name, list values):
        """One setting, a value for each group, all of them or none; gives what they are."""
        cdef GroupCore group
        cdef Rule rule
        cdef Py_ssize_t k
        cdef list plain = [], groups = self.groups
        for k in range(len(groups)):
            group = groups[k]
            rule = group.group.rule
            set_setting(&rule, name, values[k])
            check_rule(&rule)
            group.make_moments(&rule)
            plain.append(setting_of(&rule, name))   # a number whose reading runs no code of others
        for k in range(len(groups)):
            group = groups[k]
            set_setting(&group.group.rule, name, plain[k])
        return plain

    def _get(self, str name):
        cdef list found = self._each(name)
        if not found:
            return setting_of(&self.defaults_rule, name)
        if found.count(found[0]) < len(found):
            raise AttributeError(f'{name}: the parameter groups have different ones, {", ".join(map(str, found))}; '
                                 f'read param_groups[k][{name!r}]')
        return found[0]

    def _set(self, str name, value):
        """The setting of every group, and of those to come."""
        cdef Rule defaults = self.defaults_rule
        set_setting(&defaults, name, value)
        self._set_each(name, [setting_of(&defaults, name)] * len(self.groups))
        self.defaults_rule = defaults

    @property
    def lr(self):
        """The learning rate, at least 0."""
        return self._get('lr')

    @lr.setter
    def lr(self, lr):
        self._set('lr', lr)

    @property
    def weight_decay(self):
        """An L2 penalty's factor, at least 0; AdamW's, apart from the gradient."""
        return self._get('weight_decay')

    @weight_decay.setter
    def weight_decay(self, weight_decay):
        self._set('weight_decay', weight_decay)

    @property
    def maximize(self):
        """Whether to climb."""
        return self._get('maximize')

    @maximize.setter
    def maximize(self, maximize):
        self._set('maximize', maximize)

    cdef int check_idle(self, str what) except -1:
        """While fit runs, the moments are the core's."""
        if self.running:
            raise RuntimeError(f'{what}: a fit with this optimizer is running')
        return 0

    cdef int check_set_up(self, str what) except -1:
        if not self.groups:
            raise RuntimeError(f'{what}: {type(self).__name__}.__init__ has not been called')
        return 0

    # -- steps --

    @property
    def params(self):
        """The Values that step() updates, of all groups."""
        return list(self.values)

    @property
    def steps(self):
        """How many steps have been made, those in fit included."""
        cdef GroupCore group
        return max([group.group.moments.steps for group in self.groups], default=0)

    def step(self):
        """Updates every parameter's data by its grad."""
        cdef Py_ssize_t k, n = PyList_GET_SIZE(self.groups)
        if is_recording:
            check_change('the step of an optimizer was made')
        self.check_idle('step')
        if n == 0:
            self.check_set_up('step')
        for k in range(n):
            (<GroupCore>PyList_GET_ITEM(self.groups, k)).step()

    def zero_grad(self):
        """Sets every parameter's grad to 0."""
        cdef GroupCore group
        check_change('zero_grad() was called')
        for group in self.groups:
            group.zero_grad()

    # -- state --

    def _fingerprint(self):
        """What tells its parameters and moments from others, as text."""
        cdef GroupCore group
        cdef uint64_t mark = 0
        for group in self.groups:
            mark = group.fingerprint(mark)
        return f'{mark:016x}'

    def state_dict(self):
        """The settings of each group, and for each parameter, by its place, the steps and moments; of the
        form of PyTorch's, made of dicts, lists and numbers only. The parameters themselves are not in it."""
        cdef GroupCore group
        cdef Py_ssize_t first = 0
        cdef dict state = {}
        cdef list groups = []
        for group in self.groups:
            group.add_state(state, first)
            groups.append(group.described() | {'params': list(range(first, first + len(group.members)))})
            first += len(group.members)
        return {'state': state, 'param_groups': groups}

    def load_state_dict(self, state_dict):
        """Takes over what state_dict() has given, of an optimiser of this class with groups of these sizes.

        ValueError, and nothing is changed, where it does not fit.
        """
        cdef list groups = self.groups, given, places, new
        cdef GroupCore group, other
        check_change('load_state_dict() was called')
        self.check_idle('load_state_dict')
        try:
            state = dict(state_dict['state'])
            given = [dict(each) for each in state_dict['param_groups']]
            places = [list(each.pop('params')) for each in given]
            known = {place for each in places for place in each}     # they are keys of state
        except (TypeError, KeyError, ValueError):
            raise ValueError("load_state_dict: expected {'state': {...}, 'param_groups': [a dict with 'params', ...]}, "
                             'as state_dict() gives it') from None
        sizes = [len(each) for each in places]
        expected = [len(group.members) for group in groups]
        if sizes != expected:
            raise ValueError(f'load_state_dict: expected the state of {counted(expected)}, got that of {counted(sizes)}')
        if len(known) < sum(sizes) or not known.issuperset(state):
            raise ValueError('load_state_dict: expected a state for each parameter or for none')
        new = []
        for k, group in enumerate(groups):
            where = f'load_state_dict: group {k}: ' if len(groups) > 1 else 'load_state_dict: '
            new.append(group.loaded(given[k], places[k], state, where))
        # Reading numbers may run Python code, in this thread and in others; from here on none runs.
        self.check_idle('load_state_dict')
        if self.groups is not groups:
            raise RuntimeError('load_state_dict: the optimizer was given other parameters meanwhile')
        for group, other in zip(groups, new):
            group.take_over(other)

    def __repr__(self):
        cdef GroupCore group
        rates = [group.group.rule.lr for group in self.groups]
        among = f' in {len(rates)} groups' if len(rates) > 1 else ''
        lr = rates[0] if len(set(rates)) == 1 else rates
        return f'{type(self).__name__}({len(self.values)} parameters{among}, lr={lr})'

    def __reduce_ex__(self, protocol):
        """For copy and pickle: the parameters, the settings and the moments."""
        state = self.params, self.state_dict(), dict(self.defaults), dict(vars(self))
        return copyreg.__newobj__, (type(self),), state

    def __setstate__(self, state):
        """For copy and pickle: what __reduce_ex__ gave."""
        params, state_dict, defaults, attributes = state
        groups = [{**group, 'params': [params[k] for k in group['params']]} for group in state_dict['param_groups']]
        self._set_up(groups, defaults)
        self.load_state_dict(state_dict)
        vars(self).update(attributes)

cdef bint is_group(given):
    return isinstance(given, (dict, GroupCore))

cdef str counted(list sizes):
    """How many parameters groups of these sizes have."""
    many = f' in {len(sizes)} groups' if len(sizes) > 1 else ''
    return f'{" + ".join(map(str, sizes)) or "no"} parameters{many}'

def clip_grads(list values, double longest, double p, bint only_finite):
    """optim.clip_grad_norm_: gives the norm, and shortens the grads of Values that are checked; where only_finite
    is set, not by a norm that is no number."""
    cdef Places places
    cdef Stretch *stretches
    cdef size_t k, n = <size_t>len(values)
    cdef double norm
    check_change('clip_grad_norm_() was called')
    memset(&places, 0, sizeof(places))
    places.spans = <Span *>calloc(n + 1, sizeof(Span))
    stretches = <Stretch *>calloc(n + 1, sizeof(Stretch))
    try:
        if places.spans == NULL or stretches == NULL:
            raise MemoryError
        find_places(&places, values, NULL)
        for k in range(places.n_spans):
            stretches[k].size = places.spans[k].size
            stretches[k].grads = <double *>tape_adjoints(&tape, places.spans[k].node, places.spans[k].size)
        norm = gradients_norm(stretches, places.n_spans, p)
        if math.isfinite(norm) or not only_finite:
            gradients_clip(stretches, places.n_spans, norm, longest)
        return norm
    finally:
        free(places.spans)
        free(stretches)
