# SPDX-License-Identifier: MIT
# The core of optim's classes: settings that are checked and live, moments, steps, and their state as a dict.
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from headers.objects cimport PyObject_GenericSetAttr, TYPE_OF, _PyType_Lookup
from headers.program cimport ADAM, ADAMW, Level, Moments, Rule, SGD, Stretch, gradients_clip, gradients_norm
from headers.state cimport *
from headers.tape cimport *
from .executors cimport level_in_use
from .handles cimport Places, anchor_of, find_places, is_handle
from .numbers cimport as_number, kind, mixed
from .recording cimport check_change, refuse_traced

import copyreg
import math
import operator

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

cdef int set_setting(Rule *rule, str name, value) except -1:
    """Checks one setting and writes it into a rule."""
    cdef double beta1, beta2
    if name == 'lr':
        rule.lr = at_least_zero(name, value)
    elif name == 'momentum':
        rule.momentum = at_least_zero(name, value)
    elif name == 'weight_decay':
        rule.weight_decay = at_least_zero(name, value)
    elif name == 'eps':
        rule.eps = at_least_zero(name, value)
    elif name == 'nesterov':
        rule.nesterov = setting_switch(name, value)
    elif name == 'amsgrad':
        rule.amsgrad = setting_switch(name, value)
    elif name == 'maximize':
        rule.maximize = setting_switch(name, value)
    elif name == 'betas':
        if not isinstance(value, (list, tuple)) or len(value) != 2:
            raise TypeError(f'betas: expected two numbers, got {value!r}')
        beta1, beta2 = setting_number(name, value[0]), setting_number(name, value[1])
        if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
            raise ValueError(f'betas: expected numbers in [0, 1), got {value!r}')
        rule.beta1, rule.beta2 = beta1, beta2
    else:
        raise SystemError(f'no setting {name!r}')
    return 0

cdef object setting_of(const Rule *rule, str name):
    if name == 'betas':
        return rule.beta1, rule.beta2
    if name in ('nesterov', 'amsgrad', 'maximize'):
        return bool({'nesterov': rule.nesterov, 'amsgrad': rule.amsgrad, 'maximize': rule.maximize}[name])
    return {'lr': rule.lr, 'momentum': rule.momentum, 'weight_decay': rule.weight_decay, 'eps': rule.eps}[name]

cdef int check_rule(const Rule *rule) except -1:
    """What the settings have to be to each other."""
    if rule.nesterov and rule.momentum == 0:
        raise ValueError('nesterov: expected a momentum above 0 with it')
    return 0

cdef list parameter_list(params):
    cdef list values
    cdef set seen = set()
    if is_handle(params):
        raise TypeError('params: expected an iterable of Values, got a Value')
    values = list(params)
    if not values:
        raise ValueError('params: expected at least one Value, got none')
    for value in values:
        if not is_handle(value):
            raise TypeError(f'params: expected Values, got {kind(value)}')
        if is_recording:
            refuse_traced(value, 'an optimizer')
        if tape.op[anchor_of(<PyObject *>value).index] & ~OP_CLOSURE != OP_leaf:
            raise ValueError(f'params: expected leaves, got a result of {value._op!r}')
        if id(value) in seen:
            raise ValueError('params: expected each Value once, got one twice')
        seen.add(id(value))
    return values

cdef class Optimizer:
    """What the classes of optim have in common: the rule, the parameters, and their moments.

    A class names its rule in _rule, and its settings in _settings: those that all have, below, and its own.
    """

    def __cinit__(self, *args, **kwargs):
        self.values = []

    def __dealloc__(self):
        free(self.work)
        free(self.places.spans)
        free(self.moments.m)
        free(self.moments.v)
        free(self.moments.v_max)

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

    # -- settings --

    def _set_up(self, params, dict settings):
        """Takes the parameters and the settings, and starts afresh."""
        cdef list values = parameter_list(params), before
        cdef Rule rule
        cdef double *work
        cdef Span *spans
        memset(&rule, 0, sizeof(rule))
        rule.kind = {'SGD': SGD, 'Adam': ADAM, 'AdamW': ADAMW}[self._rule]
        for name in self._settings:
            set_setting(&rule, name, settings[name])
        check_rule(&rule)
        self.check_idle('__init__')
        work = <double *>calloc(2 * <size_t>len(values), sizeof(double))
        spans = <Span *>calloc(<size_t>len(values), sizeof(Span))
        if work == NULL or spans == NULL:
            free(work)
            free(spans)
            raise MemoryError
        before = self.values    # until all is in place: what ends with it may make a step
        free(self.work)
        free(self.places.spans)
        self.work = work
        self.places.spans = spans
        self.places.moves = 0
        self.forget()
        self.rule = rule
        self.values = values
        try:
            self.make_moments(&rule)
        except:
            self.values = []
            raise

    cdef void forget(self) noexcept:
        free(self.moments.m)
        free(self.moments.v)
        free(self.moments.v_max)
        memset(&self.moments, 0, sizeof(self.moments))

    cdef int make_moments(self, const Rule *rule) except -1:
        """Those that the rule needs; new ones begin at 0."""
        cdef size_t n = <size_t>len(self.values)
        if self.moments.m == NULL and (rule.kind != SGD or rule.momentum != 0):
            self.moments.m = <double *>calloc(n + 1, sizeof(double))
            if self.moments.m == NULL:
                raise MemoryError
        if self.moments.v == NULL and rule.kind != SGD:
            self.moments.v = <double *>calloc(n + 1, sizeof(double))
            if self.moments.v == NULL:
                raise MemoryError
        if self.moments.v_max == NULL and rule.amsgrad:
            self.moments.v_max = <double *>calloc(n + 1, sizeof(double))
            if self.moments.v_max == NULL:
                raise MemoryError
        return 0

    def _get(self, str name):
        return setting_of(&self.rule, name)

    def _set(self, str name, value):
        cdef Rule rule = self.rule
        set_setting(&rule, name, value)
        check_rule(&rule)
        self.make_moments(&rule)
        self.rule = rule

    @property
    def lr(self):
        """The learning rate, at least 0."""
        return self.rule.lr

    @lr.setter
    def lr(self, lr):
        self._set('lr', lr)

    @property
    def weight_decay(self):
        """An L2 penalty's factor, at least 0; AdamW's, apart from the gradient."""
        return self.rule.weight_decay

    @weight_decay.setter
    def weight_decay(self, weight_decay):
        self._set('weight_decay', weight_decay)

    @property
    def maximize(self):
        """Whether to climb."""
        return bool(self.rule.maximize)

    @maximize.setter
    def maximize(self, maximize):
        self._set('maximize', maximize)

    cdef int check_idle(self, str what) except -1:
        """While fit runs, the moments are the core's."""
        if self.running:
            raise RuntimeError(f'{what}: a fit with this optimizer is running')
        return 0

    # -- steps --

    @property
    def params(self):
        """The Values that step() updates."""
        return list(self.values)

    @property
    def steps(self):
        """How many steps have been made, those in fit included."""
        return self.moments.steps

    def step(self):
        """Updates every parameter's data by its grad."""
        cdef Py_ssize_t n = PyList_GET_SIZE(self.values)
        if is_recording:
            check_change('the step of an optimizer was made')
        self.check_idle('step')
        if n == 0:
            raise RuntimeError(f'step: {type(self).__name__}.__init__ has not been called')
        find_places(&self.places, self.values, NULL)
        self.moments.steps += 1
        if self.places.n_spans * LONG_SPAN <= <size_t>n:
            self.update_in_place()
        else:
            self.update_copies(<size_t>n)

    cdef void update_in_place(self) noexcept:
        cdef const Level *level = level_in_use()
        cdef Span span
        for span in self.places.spans[:self.places.n_spans]:
            level.update(&self.rule, &self.moments, tape.value + span.node,
                         tape_adjoints(&tape, span.node, span.size), span.size, span.place)

    cdef void update_copies(self, size_t n) noexcept:
        """All at once, side by side."""
        cdef double *p = self.work
        cdef double *g = self.work + n
        cdef Span span
        for span in self.places.spans[:self.places.n_spans]:
            tape_copy(p + span.place, tape.value + span.node, span.size)
            tape_copy(g + span.place, tape_adjoints(&tape, span.node, span.size), span.size)
        level_in_use().update(&self.rule, &self.moments, p, g, n, 0)
        for span in self.places.spans[:self.places.n_spans]:
            tape_copy(tape.value + span.node, p + span.place, span.size)

    def zero_grad(self):
        """Sets every parameter's grad to 0."""
        cdef Span span
        check_change('zero_grad() was called')
        find_places(&self.places, self.values, NULL)
        for span in self.places.spans[:self.places.n_spans]:
            tape_clear_adjoints(&tape, span.node, span.size)

    # -- state --

    def _fingerprint(self):
        """What tells its parameters and moments from others, as text."""
        cdef size_t k, n = <size_t>len(self.values)
        cdef double *moments[3]
        cdef int which
        cdef uint64_t mark = n
        moments[0], moments[1], moments[2] = self.moments.m, self.moments.v, self.moments.v_max
        for k in range(n):
            mark = mixed(mark, tape.value[anchor_of(<PyObject *>self.values[k]).index])
        for which in range(3):
            if moments[which] != NULL:
                for k in range(n):
                    mark = mixed(mark, moments[which][k])
        return f'{mark:016x}'

    cdef list moment_names(self):
        return ['momentum_buffer'] if self.rule.kind == SGD else ['exp_avg', 'exp_avg_sq', 'max_exp_avg_sq']

    def state_dict(self):
        """The settings, and for each parameter, by its place, the steps and moments; of the form of
        PyTorch's, made of dicts, lists and numbers only. The parameters themselves are not in it."""
        cdef double *moments[3]
        cdef Py_ssize_t k, j
        cdef dict state = {}, group = {name: setting_of(&self.rule, name) for name in self._settings}
        moments[0], moments[1], moments[2] = self.moments.m, self.moments.v, self.moments.v_max
        for k in range(len(self.values) if self.moments.steps else 0):
            state[k] = {'step': self.moments.steps}
            for j, name in enumerate(self.moment_names()):
                if moments[j] != NULL:
                    state[k][name] = moments[j][k]
        group['params'] = list(range(len(self.values)))
        return {'state': state, 'param_groups': [group]}

    def load_state_dict(self, state_dict):
        """Takes over what state_dict() has given, of an optimiser of this class and of as many parameters.

        ValueError, and nothing is changed, where it does not fit.
        """
        cdef Optimizer new = Optimizer.__new__(Optimizer)
        cdef Rule rule = self.rule
        cdef double *moments[3]
        check_change('load_state_dict() was called')
        self.check_idle('load_state_dict')
        new.values = self.values
        try:
            state = dict(state_dict['state'])
            group, = state_dict['param_groups']
            settings = dict(group)
            places = list(settings.pop('params'))
            set(places)     # they are keys of state
        except (TypeError, KeyError, ValueError):
            raise ValueError("load_state_dict: expected {'state': {...}, 'param_groups': [one dict with 'params']}, "
                             'as state_dict() gives it') from None
        if len(places) != len(new.values):
            raise ValueError(f'load_state_dict: expected the state of {len(new.values)} parameters, '
                             f'got that of {len(places)}')
        if set(settings) != set(self._settings):
            raise ValueError(f'load_state_dict: expected the settings {", ".join(self._settings)} of '
                             f'{type(self).__name__}, got {", ".join(map(str, settings))}')
        for name in self._settings:
            set_setting(&rule, name, settings[name])
        check_rule(&rule)
        new.rule.kind = rule.kind
        new.make_moments(&rule)
        moments[0], moments[1], moments[2] = new.moments.m, new.moments.v, new.moments.v_max
        new.moments.steps = self.load_moments(state, places, moments, new)
        # Reading numbers may run Python code, in this thread and in others; from here on none runs.
        self.check_idle('load_state_dict')
        if self.values is not new.values:
            raise RuntimeError('load_state_dict: the optimizer was given other parameters meanwhile')
        self.moments, new.moments = new.moments, self.moments     # new frees what was
        self.rule = rule

    cdef uint64_t load_moments(self, dict state, list places, double **moments, Optimizer new) except? 0:
        """Reads what state_dict() says of the parameters; gives the steps."""
        cdef list names = self.moment_names()
        cdef Py_ssize_t k, j
        steps = set()
        if state and set(state) != set(places):
            raise ValueError('load_state_dict: expected a state for each parameter or for none')
        for k in range(len(places) if state else 0):
            entries = state[places[k]]
            if not isinstance(entries, dict):
                raise TypeError(f'load_state_dict: expected a dict of each parameter, got {kind(entries)}')
            step = entries.get('step', 1)
            if not hasattr(type(step), '__index__'):
                raise TypeError(f'load_state_dict: step: expected a whole number, got {kind(step)}')
            steps.add(operator.index(step))
            for name, number in entries.items():
                if name == 'step':
                    continue
                if name not in names:
                    raise ValueError(f'load_state_dict: expected step, {", ".join(names)} of a parameter, '
                                     f'got {name!r}')
                j = names.index(name)
                if number is None:      # what PyTorch writes for no momentum
                    continue
                if moments[j] == NULL:  # kept, though the rule does not use it at present
                    moments[j] = <double *>calloc(<size_t>len(places) + 1, sizeof(double))
                    if moments[j] == NULL:
                        raise MemoryError
                    new.moments.m, new.moments.v, new.moments.v_max = moments[0], moments[1], moments[2]
                moments[j][k] = setting_number(f'load_state_dict: {name}', number)
        if len(steps) > 1 or not 0 <= min(steps, default=0) < 2**64:
            raise ValueError(f'load_state_dict: expected one number of steps for all parameters, from 0 to 2**64 - 1; '
                             f'got {sorted(steps)}')
        return steps.pop() if steps else 0

    def __reduce_ex__(self, protocol):
        """For copy and pickle: the parameters, the settings and the moments."""
        return copyreg.__newobj__, (type(self),), (self.params, self.state_dict(), dict(vars(self)))

    def __setstate__(self, state):
        """For copy and pickle: what __reduce_ex__ gave."""
        params, state_dict, attributes = state
        self._set_up(params, state_dict['param_groups'][0])
        self.load_state_dict(state_dict)
        vars(self).update(attributes)

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
